"""What would MORL need: GPUs of trainer and rollout workers, memory of each, tokens per step, GPU-hours?

Rollout and update take turns, so both groups are held for the time of both. Every answer repeats its prompt in the
trainer's rows. The rollout engine keeps the weights and, for the answers that it writes at once, keys and values of as
many tokens as an answer may have.
"""

from __future__ import annotations

from dataclasses import replace

from mimo_vl.config.model import ModelConfig
from mimo_vl.config.pipeline import PipelineConfig
from mimo_vl.config.rl import RlConfig
from mimo_vl.config.training import Component, ParallelismConfig
from mimo_vl.training.flops import causal_pairs, count_flops, count_parameters
from mimo_vl.training.plan_estimate import (
    BYTES_PER_WEIGHT,
    DEFAULT_VOCAB,
    GIB,
    MFU,
    PEAK_FLOPS,
    StagePlan,
    Work,
    training_flops,
    training_plan,
)
from mimo_vl.vocabulary import StageName

TRAINER, ROLLOUT = "trainer", "rollout"
# A prompt with its image, and the mean length of an answer as a share of the longest that is allowed.
PROMPT_TOKENS, PATCHES_PER_PROMPT = 1024, 4096
MEAN_ANSWER_SHARE = 0.25
# Decoding reads all weights for every token: a small share of the peak, with this many answers at once.
DECODE_MFU = 0.05


def morl_plans(config: PipelineConfig) -> list[StagePlan]:
    """One plan of the trainer workers, one of the rollout workers; each worker has a GPU."""
    rl, model = config.rl, config.model
    work = _update_work(rl)
    rollout_s = _rollout_flops(rl, model) / (DECODE_MFU * PEAK_FLOPS * rl.num_rollout_workers)
    update_s = training_flops(model, work) / (MFU * PEAK_FLOPS * rl.num_trainer_workers)
    hours_per_gpu = rl.num_steps * (rollout_s + update_s) / 3600
    answer = round(MEAN_ANSWER_SHARE * rl.max_new_tokens)
    assumes = (
        f"answers of {answer:,} tokens on average, prompts of {PROMPT_TOKENS:,} with {PATCHES_PER_PROMPT:,} patches"
    )
    trainer = training_plan(
        StageName.MORL, model, _parallelism(rl), work, steps=rl.num_steps, role=TRAINER, assumes=assumes
    )
    return [
        _with_hours(trainer, hours_per_gpu),
        _rollout_plan(rl, model, hours_per_gpu),
    ]


def _update_work(rl: RlConfig) -> Work:
    """A rank cuts its share into `num_micro_batches` rows; a row holds at least the longest answer."""
    num_answers = rl.prompts_per_step * rl.group_size
    mean_length = PROMPT_TOKENS + round(MEAN_ANSWER_SHARE * rl.max_new_tokens)
    answers_per_row = -(-num_answers // (rl.num_trainer_workers * rl.num_micro_batches))
    return Work(
        trainable=tuple(Component) if rl.train_vision else (Component.PROJECTOR, Component.LANGUAGE),
        document_length=mean_length,
        tokens_per_micro_batch=max(answers_per_row * mean_length, PROMPT_TOKENS + rl.max_new_tokens),
        patches_per_micro_batch=answers_per_row * PATCHES_PER_PROMPT,
        tokens_per_step=num_answers * mean_length,
        patches_per_step=num_answers * PATCHES_PER_PROMPT,
    )


def _parallelism(rl: RlConfig) -> ParallelismConfig:
    return ParallelismConfig(
        num_ranks=rl.num_trainer_workers,
        zero_stage=rl.zero_stage,
        accumulation_steps=rl.num_micro_batches,
        checkpoint_language=rl.checkpoint_language,
        checkpoint_vision=rl.checkpoint_vision,
    )


def _rollout_flops(rl: RlConfig, model: ModelConfig) -> float:
    """One forward per token: a third of training. Prompts and their images are read once per group."""
    flops = count_flops(model, trainable=tuple(Component), vocab_size=DEFAULT_VOCAB)
    num_answers = rl.prompts_per_step * rl.group_size
    answer = MEAN_ANSWER_SHARE * rl.max_new_tokens
    num_tokens = rl.prompts_per_step * PROMPT_TOKENS + num_answers * answer
    return (
        flops.total(
            num_tokens=num_tokens,
            num_pairs=causal_pairs(num_answers * (PROMPT_TOKENS + answer), document_length=PROMPT_TOKENS + answer),
            num_patches=rl.prompts_per_step * PATCHES_PER_PROMPT,
        )
        / 3
    )


def _rollout_plan(rl: RlConfig, model: ModelConfig, hours_per_gpu: float) -> StagePlan:
    size, language = BYTES_PER_WEIGHT[model.dtype], model.language
    weights = count_parameters(model, vocab_size=DEFAULT_VOCAB).total * size
    num_rows = max(1, rl.answers_at_once // rl.group_size) * rl.group_size
    num_rows = min(num_rows, -(-rl.prompts_per_step // rl.num_rollout_workers) * rl.group_size)
    bytes_per_token = 2 * language.num_layers * language.num_kv_heads * language.head_dim * size
    cache = num_rows * (PROMPT_TOKENS + rl.max_new_tokens) * bytes_per_token
    tokens_per_step = rl.prompts_per_step * rl.group_size * round(MEAN_ANSWER_SHARE * rl.max_new_tokens)
    return StagePlan(
        stage=StageName.MORL,
        role=ROLLOUT,
        gpus=rl.num_rollout_workers,
        zero_stage=0,
        trainable_millions=0.0,
        weights_gib=weights / GIB,
        gradients_gib=0.0,
        optimizer_gib=0.0,
        activations_gib=0.0,
        cache_gib=cache / GIB,
        memory_gib=(weights + cache) / GIB,
        tokens_per_step=tokens_per_step,
        steps=rl.num_steps,
        tokens_billions=rl.num_steps * tokens_per_step / 1e9,
        mfu=DECODE_MFU,
        gpu_hours=hours_per_gpu * rl.num_rollout_workers,
        assumes=f"{num_rows} answers at once per engine, each as long as {rl.max_new_tokens:,} tokens",
    )


def _with_hours(plan: StagePlan, hours_per_gpu: float) -> StagePlan:
    return replace(plan, gpu_hours=hours_per_gpu * plan.gpus)
