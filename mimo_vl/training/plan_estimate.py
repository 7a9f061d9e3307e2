"""What would each stage need: GPUs, memory per GPU by cause, steps, GPU-hours? Arithmetic, without torch or a GPU.

Memory follows ZeRO (Rajbhandari et al. 2020, section 3) with bf16 weights and gradients and fp32 AdamW state: 12 bytes
per trained parameter (master copy, two moments). Activations: the inputs of every layer where they are recomputed,
else the 34 bytes per token and width of a transformer layer (Korthikanti et al. 2022, without attention scores).
Time = useful operations / (MFU * peak). Left out: communication, data loading, evaluation, restarts, the stages that
train nothing (curate-rl, evaluate), and the reward models of `morl`, which share one GPU. MORL: see plan_morl.py.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from mimo_vl.config.model import ModelConfig
from mimo_vl.config.pipeline import PipelineConfig
from mimo_vl.config.training import Component, ParallelismConfig, RewardModelConfig, StageConfig
from mimo_vl.training.flops import ParameterCount, causal_pairs, count_flops, count_parameters
from mimo_vl.vocabulary import PRETRAINING_STAGES, REWARD_MODEL_STAGES

# Dense bf16 peak of the GPU that the plan is made for (H100 or H200 SXM), and the share of it that is assumed.
PEAK_FLOPS = 989e12
MFU = 0.40
# An H100 SXM of 80 GB as its driver reports it, and the share that is left beside CUDA, NCCL and fragmentation.
GPU_MEMORY_GIB = 79.6
USABLE_GPU_MEMORY = 0.9
GIB = 2**30
BYTES_PER_WEIGHT, _BYTES_PER_MOMENTS = {"bfloat16": 2, "float32": 4}, 12
_BYTES_PER_ACTIVATION = 34
# Of a reward model: how many there are depends on the pairs that curation finds.
ASSUMED_REWARD_STEPS = 1000
# Vocabulary of tokenizers made by the `base` stage, where the configuration says "as many as it has".
DEFAULT_VOCAB = 2048


@dataclass(frozen=True, kw_only=True)
class StagePlan:
    """One line of the plan. Memory is per GPU in GiB; gpu_hours at the stated share of the peak (mfu).

    `role`: which of the stage's processes, where they differ. `cache_gib`: keys and values of answers being written.
    `assumes`: what had to be assumed for this line, in words.
    """

    stage: str
    role: str = ""
    gpus: int
    zero_stage: int
    trainable_millions: float
    weights_gib: float
    gradients_gib: float
    optimizer_gib: float
    activations_gib: float
    cache_gib: float = 0.0
    memory_gib: float
    tokens_per_step: int
    steps: int
    tokens_billions: float
    mfu: float
    gpu_hours: float
    assumes: str = ""


def estimate(config: PipelineConfig) -> list[StagePlan]:
    """One plan per pre-training stage and reward model, in order."""
    plans = [_stage_plan(str(name), config.stages[name], config.model) for name in PRETRAINING_STAGES]
    length = config.stages[PRETRAINING_STAGES[0]].sequence_length
    plans += [_reward_plan(str(name), config.reward_models[name], config.model, length) for name in REWARD_MODEL_STAGES]
    return plans


def _stage_plan(name: str, stage: StageConfig, model: ModelConfig) -> StagePlan:
    parallelism = stage.parallelism
    tokens_per_step = rows_per_step(parallelism) * stage.sequence_length
    steps = round(stage.tokens_total / tokens_per_step) if stage.tokens_total else stage.num_steps
    work = Work(
        trainable=stage.trainable,
        document_length=stage.sequence_length,
        tokens_per_micro_batch=parallelism.rows_per_micro_batch * stage.sequence_length,
        patches_per_micro_batch=parallelism.rows_per_micro_batch * stage.max_patches_per_row,
        tokens_per_step=tokens_per_step,
        # The tower is assumed to be half used: a full row of patches in every second row.
        patches_per_step=rows_per_step(parallelism) * stage.max_patches_per_row / 2,
    )
    return training_plan(name, model, parallelism, work, steps=steps)


def _reward_plan(name: str, config: RewardModelConfig, model: ModelConfig, answer_length: int) -> StagePlan:
    """All answers of a micro-batch are one packed row; the whole trunk trains, its language head does not."""
    parallelism = config.parallelism
    num_answers = 2 * config.batch_pairs
    answers_per_row = num_answers // (parallelism.num_ranks * parallelism.accumulation_steps)
    patches = answer_length if config.kind == "multimodal" else 0
    work = Work(
        trainable=tuple(Component),
        has_language_head=False,
        document_length=answer_length,
        tokens_per_micro_batch=answers_per_row * answer_length,
        patches_per_micro_batch=answers_per_row * patches,
        tokens_per_step=num_answers * answer_length,
        patches_per_step=num_answers * patches / 2,
    )
    assumes = f"{ASSUMED_REWARD_STEPS:,} steps (curation decides), answers of {answer_length:,} tokens with prompt"
    return training_plan(name, model, parallelism, work, steps=ASSUMED_REWARD_STEPS, assumes=assumes)


def rows_per_step(parallelism: ParallelismConfig) -> int:
    return parallelism.num_ranks * parallelism.accumulation_steps * parallelism.rows_per_micro_batch


@dataclass(frozen=True, kw_only=True)
class Work:
    """What one update trains, and a rank's largest micro-batch. `document_length`: tokens that see each other."""

    trainable: Collection[Component]
    has_language_head: bool = True
    document_length: int
    tokens_per_micro_batch: int
    patches_per_micro_batch: int
    tokens_per_step: int
    patches_per_step: float


def training_plan(
    name: str,
    model: ModelConfig,
    parallelism: ParallelismConfig,
    work: Work,
    *,
    steps: int,
    role: str = "",
    assumes: str = "",
) -> StagePlan:
    count = count_parameters(model, vocab_size=DEFAULT_VOCAB)
    num_trained = sum(count.of(component) for component in work.trainable)
    if not work.has_language_head and not model.language.tie_word_embeddings:
        num_trained -= count.embedding
    weights, gradients, moments = _state_bytes(count, num_trained, parallelism, model.dtype)
    activations = _activation_bytes(model, work, parallelism)
    return StagePlan(
        stage=name,
        role=role,
        gpus=parallelism.num_ranks,
        zero_stage=parallelism.zero_stage,
        trainable_millions=num_trained / 1e6,
        weights_gib=weights / GIB,
        gradients_gib=gradients / GIB,
        optimizer_gib=moments / GIB,
        activations_gib=activations / GIB,
        memory_gib=(weights + gradients + moments + activations) / GIB,
        tokens_per_step=work.tokens_per_step,
        steps=steps,
        tokens_billions=steps * work.tokens_per_step / 1e9,
        mfu=MFU,
        gpu_hours=steps * training_flops(model, work) / (MFU * PEAK_FLOPS) / 3600,
        assumes=assumes,
    )


def training_flops(model: ModelConfig, work: Work) -> float:
    """Useful operations of one update."""
    flops = count_flops(
        model, trainable=work.trainable, has_language_head=work.has_language_head, vocab_size=DEFAULT_VOCAB
    )
    return flops.total(
        num_tokens=work.tokens_per_step,
        num_pairs=causal_pairs(work.tokens_per_step, document_length=work.document_length),
        num_patches=work.patches_per_step,
    )


def _state_bytes(
    count: ParameterCount, num_trained: int, parallelism: ParallelismConfig, dtype: str
) -> tuple[float, float, float]:
    """(weights, gradients, optimizer) per GPU: ZeRO-1 shards the last, ZeRO-2 also the second, ZeRO-3 all."""
    shards, stage = parallelism.num_ranks, parallelism.zero_stage
    size = BYTES_PER_WEIGHT[dtype]
    weights = count.total * size / (shards if stage >= 3 else 1)
    gradients = num_trained * size / (shards if stage >= 2 else 1)
    moments = num_trained * _BYTES_PER_MOMENTS / (shards if stage >= 1 else 1)
    return weights, gradients, moments


def _activation_bytes(model: ModelConfig, work: Work, parallelism: ParallelismConfig) -> float:
    """Kept for backward of one micro-batch. A frozen tower below everything that trains keeps none."""
    language, vision = model.language, model.vision
    per_token = _tower_bytes(language.num_layers, language.hidden_size, is_recomputed=parallelism.checkpoint_language)
    total = work.tokens_per_micro_batch * per_token
    if Component.VISION in work.trainable:
        per_patch = _tower_bytes(vision.depth, vision.hidden_size, is_recomputed=parallelism.checkpoint_vision)
        total += work.patches_per_micro_batch * per_patch
    return total


def _tower_bytes(num_layers: int, width: int, *, is_recomputed: bool) -> float:
    """Bytes per token: every layer's input and one whole layer, or all of every layer."""
    if is_recomputed:
        return width * (2 * num_layers + _BYTES_PER_ACTIVATION)
    return width * _BYTES_PER_ACTIVATION * num_layers
