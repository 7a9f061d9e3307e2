"""One line about a pipeline, as `kubectl get` shows it: the stage that matters now, its steps, attempt and message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from operators.mimo_pipeline.api import StageState, StageStatus

# What matters first: work that goes on, then what a person or time must move, then what failed, then what comes next.
_ORDER = (
    StageState.RUNNING,
    StageState.QUEUED,
    StageState.RETRYING,
    StageState.AWAITING_APPROVAL,
    StageState.SUSPENDED,
    StageState.FAILED,
    StageState.PENDING,
)
_WITH_REASON = frozenset({StageState.RETRYING, StageState.FAILED})
_MAX_MESSAGE = 1024


def headline(stages: Sequence[StageStatus]) -> dict[str, Any]:
    """Fields of the pipeline's status. Without a current stage (all succeeded): how many did."""
    current = current_stage(stages)
    if current is None:
        done = sum(s.state == StageState.SUCCEEDED for s in stages)
        return {"current_stage": "", "progress": f"{done}/{len(stages)} stages", "attempt": 0, "message": ""}
    return {
        "current_stage": current.name,
        "progress": _steps(current),
        "attempt": current.attempt,
        "message": _message(current),
    }


def current_stage(stages: Sequence[StageStatus]) -> StageStatus | None:
    for state in _ORDER:
        found = next((s for s in stages if s.state == state), None)
        if found is not None:
            return found
    return None


def _steps(stage: StageStatus) -> str:
    if stage.progress is None:
        return ""
    return f"{stage.progress.step}/{stage.progress.total or '?'}"


def _message(stage: StageStatus) -> str:
    """With the reason where something went wrong, now or in an earlier attempt."""
    now = [stage.reason, stage.message] if stage.state in _WITH_REASON else [stage.message]
    parts = [": ".join(part for part in now if part), stage.earlier_failure]
    return "; ".join(part for part in parts if part)[:_MAX_MESSAGE]
