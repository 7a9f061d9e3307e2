"""The pipeline's phase and its Kubernetes conditions, derived from the stages."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from operators.mimo_pipeline.api import ACTIVE_STATES, TERMINAL_STATES, Condition, MimoPipelineSpec, Phase, StageState
from operators.mimo_pipeline.api import StageStatus as Stage
from operators.mimo_pipeline.status import MAX_CONDITION_MESSAGE

VALID, RUNNING, SUSPENDED, SUCCEEDED, FAILED = "Valid", "Running", "Suspended", "Succeeded", "Failed"


def phase_of(spec: MimoPipelineSpec, stages: Iterable[Stage]) -> Phase:
    states = [s.state for s in stages]
    if all(s in TERMINAL_STATES for s in states):
        if all(s == StageState.SUCCEEDED for s in states):
            return Phase.SUCCEEDED
        return Phase.CANCELLED if spec.cancel else Phase.FAILED
    if any(s in ACTIVE_STATES for s in states):
        return Phase.RUNNING
    if spec.suspend:
        return Phase.SUSPENDED
    waits_for_person = any(s == StageState.AWAITING_APPROVAL for s in states)
    return Phase.AWAITING_APPROVAL if waits_for_person else Phase.RUNNING


def updated(
    old: Iterable[Condition], wanted: dict[str, tuple[bool, str, str]], generation: int, now: datetime
) -> tuple[Condition, ...]:
    """Conditions by type -> (is true, reason, message). The transition time moves only when the status flips."""
    before = {c.type: c for c in old}
    result = []
    for kind, (is_true, reason, message) in wanted.items():
        status: Literal["True", "False"] = "True" if is_true else "False"
        previous = before.get(kind)
        since = previous.last_transition_time if previous and previous.status == status else now
        result.append(
            Condition(
                type=kind,
                status=status,
                reason=reason,
                message=message[:MAX_CONDITION_MESSAGE],
                observed_generation=generation,
                last_transition_time=since,
            )
        )
    return tuple(result)


def of_phase(phase: Phase, stages: Iterable[Stage]) -> dict[str, tuple[bool, str, str]]:
    """All conditions for a valid pipeline."""
    failed = [s for s in stages if s.state == StageState.FAILED]
    why = "; ".join(f"{s.name}: {s.reason}: {s.message}" for s in failed)
    has_failed = phase in (Phase.FAILED, Phase.CANCELLED)
    return {
        VALID: (True, "SpecAccepted", ""),
        RUNNING: (phase == Phase.RUNNING, str(phase), ""),
        SUSPENDED: (phase == Phase.SUSPENDED, str(phase), ""),
        SUCCEEDED: (phase == Phase.SUCCEEDED, str(phase), ""),
        FAILED: (has_failed, str(phase), why if has_failed else ""),
    }


def of_invalid(reason: str, problems: Iterable[str]) -> dict[str, tuple[bool, str, str]]:
    return {VALID: (False, reason, "\n".join(problems))}
