"""Where data come from and how much of each. Mixtures and row sizes per stage are in training.py."""

from __future__ import annotations

from pydantic import Field, NonNegativeInt, PositiveInt

from mimo_vl.config.fields import config, unhashed
from mimo_vl.vocabulary import DataType, RlFamily


@config
class TinySynthesisConfig:
    """Composites of real digits, photographs and text, for the tiny profile."""

    heldout_fraction: float = Field(default=0.25, gt=0, lt=1)
    """Share of source images and texts, by digest, that only held-out items may use."""
    samples_per_type: dict[DataType, NonNegativeInt]
    """Training samples of each data type."""
    heldout_per_type: dict[DataType, NonNegativeInt]
    """Samples of each type on which the held-out loss is measured."""
    rl_prompts_per_family: dict[RlFamily, NonNegativeInt]
    """Training prompts for RL, before pass-rate curation."""
    eval_items_rl_family: PositiveInt = 200
    """Held-out items of each verifiable family."""
    eval_items_other: PositiveInt = 64
    """Held-out items of every other family."""
    preference_queries: PositiveInt = 256
    """Queries whose answers become preference pairs."""
    shard_size: PositiveInt = 1024
    """Samples per shard."""

    def __post_init__(self) -> None:
        counts = (self.samples_per_type, self.heldout_per_type, self.rl_prompts_per_family)
        if any("custom" in count for count in counts):
            raise ValueError("counts name custom, whose samples are not generated; give them by data.custom")


@config
class CustomDataConfig:
    """A user's own samples, as `mimo data add` publishes them."""

    digest: str = Field(pattern="^sha256:[0-9a-f]{64}$")
    """Of the artifact; `mimo data add` prints it."""
    uri: str = unhashed("")
    """Of the artifact; empty = where `mimo data add` puts it in the run's own store."""
    heldout_fraction: float = Field(default=0.25, gt=0, lt=1)
    """Share of the pictures (of the questions, where a line has none), by digest, that only held-out items may use."""


@config
class DataConfig:
    synthesis: TinySynthesisConfig | None = None
    """Set in profiles that make their own data; None when curated datasets come as spec.inputs."""
    custom: CustomDataConfig | None = None
    """Own data beside them: data type and RL family `custom`."""
    num_workers: PositiveInt = unhashed(1)
    """Processes of the local executor."""
