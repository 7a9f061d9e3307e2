"""One pre-training stage or reward model: what trains, at which rate, on what, for how long, on how many ranks."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from mimo_vl.config.fields import config, unhashed
from mimo_vl.vocabulary import DataType


class Component(StrEnum):
    VISION = "vision"
    PROJECTOR = "projector"
    LANGUAGE = "language"


@config
class OptimizerConfig:
    """AdamW (MiMo-7B report: betas 0.9/0.95, weight decay 0.1, clip 1.0)."""

    beta1: float = Field(default=0.9, ge=0, lt=1)
    """AdamW's first moment."""
    beta2: float = Field(default=0.95, ge=0, lt=1)
    """AdamW's second moment."""
    eps: PositiveFloat = 1e-8
    """AdamW's epsilon."""
    weight_decay: NonNegativeFloat = 0.1
    """Decoupled; not on norms and biases."""
    max_grad_norm: PositiveFloat = 1.0
    """Gradients are clipped to this global norm."""


@config
class ScheduleConfig:
    kind: Literal["constant", "cosine", "linear"] = "constant"
    """Form of the learning rate after warm-up."""
    warmup_fraction: float = Field(default=0.03, ge=0.0, lt=1.0)
    """Share of the steps that warm up linearly."""
    final_lr_ratio: float = Field(default=1.0, ge=0.0)
    """Learning rate at the end as a share of the peak, for cosine and linear. 0.1 = "1e-4 -> 1e-5"."""


@config
class ParallelismConfig:
    num_ranks: PositiveInt = 1
    """Data-parallel ranks of a training stage."""
    ranks_per_node: PositiveInt = unhashed(1)
    """Ranks in one pod of a cluster; one machine runs all ranks beside each other."""
    zero_stage: Literal[0, 1, 2, 3] = 1
    """DeepSpeed ZeRO stage: 0 nothing, 1 optimizer state, 2 gradients, 3 weights are sharded."""
    accumulation_steps: PositiveInt = 1
    """Micro-batches per update."""
    rows_per_micro_batch: PositiveInt = 1
    """Packed rows per rank and micro-batch."""
    checkpoint_language: bool = False
    """Activation checkpointing of the language model."""
    checkpoint_vision: bool = False
    """Activation checkpointing of the vision tower."""
    threads_per_rank: NonNegativeInt = 0
    """CPU threads per rank; 0 = cores / ranks on this node."""


@config
class CheckpointConfig:
    every_steps: PositiveInt = 100
    """Steps between two checkpoints."""
    keep_last: NonNegativeInt = 2
    """Older ones are removed; 0 = none is."""


@config
class StageConfig:
    trainable: tuple[Component, ...]
    """Parts of the model that learn; the others are frozen."""
    lr: PositiveFloat
    """Peak learning rate of every trainable component without an entry in component_lr."""
    component_lr: dict[Component, PositiveFloat] = Field(default_factory=dict)
    """Per-component peak rates. Stage 2's "1e-4, 1e-5" read as one rate per component: vision 1e-4, projector 1e-5."""
    mixture: dict[DataType, float]
    """Sampling weight per data type; normalised to 1."""
    sequence_length: PositiveInt
    """Tokens of a packed row."""
    max_patches_per_row: PositiveInt
    """Vision patches that a packed row may hold."""
    num_steps: PositiveInt
    """Updates of the stage."""
    tokens_total: NonNegativeInt = 0
    """Tokens that the report trains on in this stage; 0 = not stated. Used by `mimo plan`."""
    optimizer: OptimizerConfig = Field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = Field(default_factory=ScheduleConfig)
    parallelism: ParallelismConfig = Field(default_factory=ParallelismConfig)
    checkpoint: CheckpointConfig = Field(default_factory=CheckpointConfig)
    cross_entropy_chunk: PositiveInt = 128
    """Supervised positions whose logits are computed at a time."""
    heldout_samples: PositiveInt = 64
    """Fixed held-out batch for loss_first and loss_last."""
    log_every_steps: PositiveInt = unhashed(1)
    """Steps between two sets of metrics."""

    def __post_init__(self) -> None:
        if not self.trainable:
            raise ValueError("trainable is empty; name at least one of vision, projector, language")
        extra = set(self.component_lr) - set(self.trainable)
        if extra:
            raise ValueError(f"component_lr names {sorted(extra)}, which are not in trainable {list(self.trainable)}")
        if not self.mixture or min(self.mixture.values()) < 0 or sum(self.mixture.values()) <= 0:
            raise ValueError(f"mixture {self.mixture} needs at least one positive weight and no negative one")


@config
class BaseStageConfig:
    """Tokenizer, ViT and language model that stand for Qwen2.5-ViT and MiMo-7B-Base.

    With `model.language_source: llama-gguf` (smol) only the ViT is made here: tokenizer and language model are
    SmolLM2's, and `vocab_size` and `language_*` have no effect.
    """

    vocab_size: PositiveInt = 2048
    """Of the byte-level BPE tokenizer, special tokens included."""
    vision_steps: PositiveInt = 400
    """Updates of the small ViT."""
    vision_batch_size: PositiveInt = 64
    """Images per update."""
    vision_lr: PositiveFloat = 1e-3
    """Peak learning rate of the ViT."""
    language_steps: PositiveInt = 300
    """Updates of the small language model."""
    language_row_tokens: PositiveInt = 1024
    """Tokens per step: whole documents until there are as many."""
    language_max_document_tokens: PositiveInt = 128
    """Longer documents are cut."""
    language_lr: PositiveFloat = 1.5e-3
    """Peak learning rate of the language model."""


@config
class RewardModelConfig:
    """Bradley-Terry reward model (report 3.2; defaults of reference table: LR 1e-5, head 1e-4, one epoch)."""

    kind: Literal["text", "multimodal"]
    """`text` starts from the base language model, `multimodal` from the SFT model."""
    lr: PositiveFloat = 1e-5
    """Peak learning rate of the backbone."""
    head_lr: PositiveFloat = 1e-4
    """Peak learning rate of the new scalar head."""
    num_epochs: PositiveInt = 1
    """Passes over the preference pairs."""
    batch_pairs: PositiveInt = 32
    """Pairs per update, over all ranks."""
    center_penalty: NonNegativeFloat = 0.01
    """Weight of (r_chosen + r_rejected)^2, which centres scores around 0."""
    optimizer: OptimizerConfig = Field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = Field(default_factory=ScheduleConfig)
    parallelism: ParallelismConfig = Field(default_factory=ParallelismConfig)
    checkpoint: CheckpointConfig = Field(default_factory=CheckpointConfig)

    def __post_init__(self) -> None:
        num_shares = self.parallelism.num_ranks * self.parallelism.accumulation_steps
        if self.batch_pairs % num_shares:
            raise ValueError(
                f"batch_pairs {self.batch_pairs} is not a multiple of parallelism.num_ranks * accumulation_steps = "
                f"{num_shares}; change one of the three"
            )
