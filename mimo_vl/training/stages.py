"""The report's table of the four stages (section 2.3): what trains, on what, at which rate and length, for how long.

Stage configurations (conf/stage/*.yaml) hold the same values and a test compares them; profiles scale them down.
"1e-4, 1e-5" of stage 2 has two readings: a fall from the first to the second, or one rate per component in the listed
order. The fall is the default, since stage 3 continues at 1e-5.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from mimo_vl.config.training import Component, ScheduleConfig, StageConfig
from mimo_vl.vocabulary import DataType, StageName

# Tokens per optimizer step of MiMo-7B: 2,560 sequences of 8,192 or 640 of 32,768.
TOKENS_PER_STEP = 2560 * 8192
_ALL = (Component.VISION, Component.PROJECTOR, Component.LANGUAGE)


@dataclass(frozen=True, kw_only=True)
class ReportedStage:
    """One column of the table. new_data: types that this stage adds to those of the stages before it."""

    name: StageName
    trainable: tuple[Component, ...]
    new_data: frozenset[DataType]
    lr: float
    final_lr: float
    num_tokens: int
    sequence_length: int

    @property
    def num_steps(self) -> float:
        """Optimizer steps at MiMo-7B's batch."""
        return self.num_tokens / TOKENS_PER_STEP


REPORTED_STAGES = (
    ReportedStage(
        name=StageName.PROJECTOR_WARMUP,
        trainable=(Component.PROJECTOR,),
        new_data=frozenset({DataType.CAPTION}),
        lr=1e-3,
        final_lr=1e-3,
        num_tokens=300 * 10**9,
        sequence_length=8192,
    ),
    ReportedStage(
        name=StageName.VISION_LANGUAGE_ALIGNMENT,
        trainable=(Component.VISION, Component.PROJECTOR),
        new_data=frozenset({DataType.INTERLEAVED}),
        lr=1e-4,
        final_lr=1e-5,
        num_tokens=167 * 10**9,
        sequence_length=8192,
    ),
    ReportedStage(
        name=StageName.MULTIMODAL_PRETRAINING,
        trainable=_ALL,
        new_data=frozenset(DataType) - {DataType.CAPTION, DataType.INTERLEAVED, DataType.CUSTOM},
        lr=1e-5,
        final_lr=1e-5,
        num_tokens=1400 * 10**9,
        sequence_length=8192,
    ),
    ReportedStage(
        name=StageName.LONG_CONTEXT_SFT,
        trainable=_ALL,
        # Longer data of the same types: documents, high-resolution images, videos, reasoning.
        new_data=frozenset(),
        lr=2.5e-5,
        final_lr=2.5e-5,
        num_tokens=550 * 10**9,
        sequence_length=32768,
    ),
)


def read_as_decay(config: StageConfig, *, first: float, last: float) -> StageConfig:
    """One rate for all components that falls linearly from `first` to `last` over the stage."""
    schedule = ScheduleConfig(
        kind="linear", warmup_fraction=config.schedule.warmup_fraction, final_lr_ratio=last / first
    )
    return dataclasses.replace(config, lr=first, component_lr={}, schedule=schedule)


def read_per_component(config: StageConfig, *, vision: float, projector: float) -> StageConfig:
    """The two values as constant rates of vision tower and projector, in the order in which the report lists them."""
    schedule = ScheduleConfig(kind="constant", warmup_fraction=config.schedule.warmup_fraction)
    rates = {Component.VISION: vision, Component.PROJECTOR: projector}
    return dataclasses.replace(config, lr=vision, component_lr=rates, schedule=schedule)
