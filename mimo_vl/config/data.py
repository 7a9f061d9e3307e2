"""Where data come from and how much of each. Mixtures and row sizes per stage are in training.py."""

from __future__ import annotations

from mimo_vl.config.fields import config, unhashed
from mimo_vl.vocabulary import DataType, RlFamily


@config
class TinySynthesisConfig:
    """Composites of real digits, photographs and text, for the tiny profile."""

    heldout_fraction: float = 0.25
    """Share of source images and texts, by digest, that only held-out items may use."""
    samples_per_type: dict[DataType, int]
    """Training samples of each data type."""
    heldout_per_type: dict[DataType, int]
    """Samples of each type on which the held-out loss is measured."""
    rl_prompts_per_family: dict[RlFamily, int]
    """Training prompts for RL, before pass-rate curation."""
    eval_items_rl_family: int = 200
    """Held-out items of each verifiable family."""
    eval_items_other: int = 64
    """Held-out items of every other family."""
    preference_queries: int = 256
    """Queries whose answers become preference pairs."""
    shard_size: int = 1024
    """Samples per shard."""


@config
class DataConfig:
    synthesis: TinySynthesisConfig | None = None
    """Set in profiles that make their own data; None when curated datasets come as spec.inputs."""
    num_workers: int = unhashed(1)
    """Processes of the local executor."""
