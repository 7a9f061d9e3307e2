"""One pre-training stage or reward model: what trains, at which rate, on what, for how long, on how many ranks."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from mimo_vl.config.fields import config, unhashed
from mimo_vl.vocabulary import DataType


class Component(StrEnum):
    VISION = "vision"
    PROJECTOR = "projector"
    LANGUAGE = "language"


@config
class OptimizerConfig:
    """AdamW (MiMo-7B report: betas 0.9/0.95, weight decay 0.1, clip 1.0)."""

    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-8
    weight_decay: float = 0.1
    max_grad_norm: float = 1.0


@config
class ScheduleConfig:
    kind: Literal["constant", "cosine", "linear"] = "constant"
    warmup_fraction: float = Field(default=0.03, ge=0.0, lt=1.0)
    final_lr_ratio: float = Field(default=1.0, ge=0.0)
    """Learning rate at the end as a share of the peak, for cosine and linear. 0.1 = "1e-4 -> 1e-5"."""


@config
class ParallelismConfig:
    num_ranks: int = 1
    ranks_per_node: int = unhashed(1)
    """Ranks in one pod of a cluster; one machine runs all ranks beside each other."""
    zero_stage: Literal[0, 1, 2, 3] = 1
    accumulation_steps: int = 1
    rows_per_micro_batch: int = 1
    checkpoint_language: bool = False
    """Activation checkpointing of the language model."""
    checkpoint_vision: bool = False
    threads_per_rank: int = 0
    """CPU threads per rank; 0 = cores / ranks on this node."""


@config
class CheckpointConfig:
    every_steps: int = 100
    keep_last: int = 2


@config
class StageConfig:
    trainable: tuple[Component, ...]
    lr: float = Field(gt=0)
    """Peak learning rate of every trainable component without an entry in component_lr."""
    component_lr: dict[Component, float] = Field(default_factory=dict)
    """Per-component peak rates. Stage 2's "1e-4, 1e-5" read as one rate per component: vision 1e-4, projector 1e-5."""
    mixture: dict[DataType, float]
    """Sampling weight per data type; normalised to 1."""
    sequence_length: int
    max_patches_per_row: int
    num_steps: int = Field(gt=0)
    tokens_total: int = 0
    """Tokens that the report trains on in this stage; 0 = not stated. Used by `mimo plan`."""
    optimizer: OptimizerConfig = Field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = Field(default_factory=ScheduleConfig)
    parallelism: ParallelismConfig = Field(default_factory=ParallelismConfig)
    checkpoint: CheckpointConfig = Field(default_factory=CheckpointConfig)
    cross_entropy_chunk: int = 128
    heldout_samples: int = 64
    """Fixed held-out batch for loss_first and loss_last."""
    log_every_steps: int = unhashed(1)

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
    """Tiny profile only: tokenizer, ViT and language model that stand for Qwen2.5-ViT and MiMo-7B-Base."""

    vocab_size: int = 2048
    vision_steps: int = 400
    vision_batch_size: int = 64
    vision_lr: float = 1e-3
    language_steps: int = 300
    language_row_tokens: int = 1024
    """Tokens per step: whole documents until there are as many."""
    language_max_document_tokens: int = 128
    """Longer documents are cut."""
    language_lr: float = 1.5e-3


@config
class RewardModelConfig:
    """Bradley-Terry reward model (report 3.2; defaults of reference table: LR 1e-5, head 1e-4, one epoch)."""

    kind: Literal["text", "multimodal"]
    lr: float = 1e-5
    head_lr: float = 1e-4
    num_epochs: int = 1
    batch_pairs: int = 32
    center_penalty: float = 0.01
    """Weight of (r_chosen + r_rejected)^2, which centres scores around 0."""
    optimizer: OptimizerConfig = Field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = Field(default_factory=ScheduleConfig)
    parallelism: ParallelismConfig = Field(default_factory=ParallelismConfig)
    checkpoint: CheckpointConfig = Field(default_factory=CheckpointConfig)
