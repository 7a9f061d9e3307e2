"""What a training stage needs of the process that runs it: the library's view of a stage context."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mimo_vl.config.pipeline import PipelineConfig
from mimo_vl.training.callbacks.reporting import MetricSink, ProgressSink
from mimo_vl.training.checkpoint import Seal
from mimo_vl.training.world import World
from mimo_vl.vocabulary import StageName


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """checkpoint_dir: of this attempt. resume_from: of an earlier one. inputs: verified folder by name of the input."""

    stage: StageName
    config: PipelineConfig
    stage_key: str
    out_dir: Path
    checkpoint_dir: Path
    resume_from: Path | None
    scratch_dir: Path
    world: World
    input_dir: Callable[[str], Path]
    progress: ProgressSink
    tracker: MetricSink
    seal: Seal
    should_stop: Callable[[], bool]
