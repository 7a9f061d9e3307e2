"""What a finished output must still pass before others may use it: the metric gate, then a person's approval."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping

from operators.mimo_pipeline.api import Approval, Comparison, Gate, StageState
from operators.mimo_pipeline.draft import Draft
from operators.mimo_pipeline.plan import Output

_COMPARE: Mapping[Comparison, Callable[[float, float], bool]] = {
    Comparison.GT: operator.gt,
    Comparison.GE: operator.ge,
    Comparison.LT: operator.lt,
    Comparison.LE: operator.le,
}


def gate_problem(gate: Gate | None, metrics: Mapping[str, float]) -> str:
    """Empty if the gate is met; else what is wrong."""
    if gate is None:
        return ""
    wanted = f"{gate.metric} {gate.comparison} {gate.threshold:g}"
    if gate.metric not in metrics:
        return f"gate {wanted}: the manifest has no such metric, only {sorted(metrics)}"
    value = metrics[gate.metric]
    if _COMPARE[gate.comparison](value, gate.threshold):
        return ""
    return f"gate {wanted} is not met: {value:g}"


def accept_output(draft: Draft, name: str, output: Output, *, reused: bool) -> None:
    """A stage has its output: Succeeded, AwaitingApproval, or Failed by its gate (which no retry can help)."""
    stage = next(s for s in draft.order if s.name == name)
    common = {
        "output_uri": output.uri,
        "digest": output.digest,
        "key": output.key,
        "reused": reused,
        "not_before": None,
        "rerun": False,
        "exit_code": None if reused else draft.stages[name].exit_code,
    }
    problem = gate_problem(stage.gate, output.metrics)
    if problem:
        finished = {"finished_at": draft.now, "reason": "GateNotMet", "message": problem}
        draft.set(name, state=StageState.FAILED, **common, **finished)
    elif stage.approval == Approval.MANUAL and not _is_approved(draft, name, output.key):
        message = f"approve it with: mimo approve {name}"
        draft.set(name, state=StageState.AWAITING_APPROVAL, **common, reason="AwaitingApproval", message=message)
    else:
        reason = "Reused" if reused else "Completed"
        done = {"finished_at": draft.now, "reason": reason, "message": ""}
        draft.set(name, state=StageState.SUCCEEDED, **common, **done)


def check_approval(draft: Draft, name: str) -> None:
    """AwaitingApproval -> Succeeded once the spec holds an approval for this very key."""
    current = draft.stages[name]
    if current.state == StageState.AWAITING_APPROVAL and _is_approved(draft, name, current.key):
        done = {"finished_at": draft.now, "reason": "Approved", "message": ""}
        draft.set(name, state=StageState.SUCCEEDED, **done)


def _is_approved(draft: Draft, name: str, key: str) -> bool:
    return any(a.stage == name and a.key == key for a in draft.spec.approvals)
