"""Names that a user typed: the stage that is meant, or the names that come near."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from mimo_vl.errors import ConfigError, InputError
from mimo_vl.vocabulary import StageName

if TYPE_CHECKING:
    from operators.mimo_pipeline.api import StageStatus
    from operators.mimo_pipeline.local.state import PipelineObject

UNSEEN = "no operator has looked at this pipeline yet; is one running in its namespace?"
_MAX_NAMES = 5


def complete_stage(incomplete: str) -> list[str]:
    """For the shell: names of the default pipeline."""
    return [str(name) for name in StageName if name.startswith(incomplete)]


def near_matches(wrong: str, names: Iterable[str]) -> str:
    """` Did you mean a or b?`, or what there is, or "" if there is nothing."""
    known = sorted(set(names))
    near = difflib.get_close_matches(wrong, known, n=3, cutoff=0.5)
    if near:
        return f" Did you mean {' or '.join(near)}?"
    shown = ", ".join(known[:_MAX_NAMES]) + (", ..." if len(known) > _MAX_NAMES else "")
    return f" There is {shown}." if shown else ""


def stage_status(pipeline: PipelineObject, stage: str) -> StageStatus:
    found = next((s for s in pipeline.status.stages if s.name == stage), None)
    if found is not None:
        return found
    names = [s.name for s in pipeline.status.stages]
    if not names:
        raise InputError(f"stage {stage}: {UNSEEN}")
    raise ConfigError(f"stage: {stage!r} is not in this run; choose from {names}.{near_matches(stage, names)}")


def attempt_has_ended(pipeline: PipelineObject, stage: str, attempt: int) -> bool:
    current = stage_status(pipeline, stage)
    return attempt != current.attempt or current.state not in ("Queued", "Running")


def current_stage(pipeline: PipelineObject) -> str:
    """The stage that a user means without naming one: what runs, else what failed, else what ended last."""
    stages = [s for s in pipeline.status.stages if s.attempt]
    for state in ("Running", "Retrying", "Failed"):
        found = [s.name for s in stages if s.state == state]
        if found:
            return found[-1]
    ended = [s for s in stages if s.finished_at is not None]
    if not ended:
        raise InputError("STAGE: no stage of this run has started yet; look with: mimo status")
    return max(ended, key=lambda s: s.finished_at.timestamp() if s.finished_at else 0.0).name
