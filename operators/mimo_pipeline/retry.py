"""Requests to run stages again: `spec.retry` (anew, from a stage on) and going on after a failed run."""

from __future__ import annotations

from operators.mimo_pipeline.api import ACTIVE_STATES, MimoPipelineStatus, Phase, StageState, StageStatus
from operators.mimo_pipeline.draft import Draft
from operators.mimo_pipeline.stage_graph import descendants
from operators.mimo_pipeline.transitions import STOP_GRACE_S, adopt, last_failure, pass_verdict


def apply_retry(draft: Draft) -> None:
    """Run the named stage and all after it anew: running attempts are stopped first, old checkpoints not used."""
    request = draft.spec.retry
    if request is None or request.nonce == draft.status.handled_retry_nonce:
        return
    if request.from_stage not in draft.stages:
        draft.change(handled_retry_nonce=request.nonce)
        return
    affected = descendants(draft.order, request.from_stage)
    # Skipped stages elsewhere wait for the failure that made them so; they get their chance again.
    affected |= {n for n, s in draft.stages.items() if s.state == StageState.SKIPPED}
    for name in sorted(affected):
        # Created for this very request just before a crash: it is stopped and gets its verdict as well.
        adopt(draft, name)
    if _stop_running(draft, affected):
        return
    for name in sorted(affected):
        _conclude_stopped(draft, name)
        draft.set(name, **_anew(draft, draft.stages[name]))
    draft.change(handled_retry_nonce=request.nonce, finished_at=None)


def _stop_running(draft: Draft, names: set[str]) -> bool:
    """True while some attempt of `names` still lives."""
    alive = [a for n in sorted(names) for a in draft.observed.of(n) if a.alive]
    for seen in alive:
        if draft.stages[seen.stage].state in ACTIVE_STATES:
            draft.set(seen.stage, stopped_attempt=seen.attempt, reason="Stopping", message="stopped by a retry request")
        draft.stop(seen, grace_s=STOP_GRACE_S)
    return bool(alive)


def _conclude_stopped(draft: Draft, name: str) -> None:
    """The attempt that has ended for the request, or just before it came."""
    current = draft.stages[name]
    seen = draft.attempt(name, current.attempt)
    if current.state in ACTIVE_STATES and (seen is None or seen.output is None):
        outcome, verdict = pass_verdict(draft, name, seen)
        draft.set(name, last_failure=last_failure(current, outcome, verdict))


def _anew(draft: Draft, stage: StageStatus) -> dict[str, object]:
    newest = draft.latest(stage.name)
    blank = StageStatus(
        name=stage.name,
        attempt=max(stage.attempt, newest.attempt if newest else 0),
        rerun=True,
        reason="RetryRequested",
        last_failure=stage.last_failure,
    )
    blank = blank.model_copy(update={"fresh_after_attempt": blank.attempt})
    return {name: getattr(blank, name) for name in StageStatus.model_fields}


def reopen(status: MimoPipelineStatus) -> MimoPipelineStatus:
    """Give failed and skipped stages a new budget of attempts; finished ones and checkpoints stay."""
    stages = tuple(_reopened(s) if s.state in (StageState.FAILED, StageState.SKIPPED) else s for s in status.stages)
    return status.model_copy(update={"stages": stages, "phase": Phase.RUNNING, "finished_at": None})


def _reopened(stage: StageStatus) -> StageStatus:
    return StageStatus(
        name=stage.name,
        attempt=stage.attempt,
        key=stage.key,
        fresh_after_attempt=stage.fresh_after_attempt,
        last_failure=stage.last_failure,
        running_seconds=stage.running_seconds,
    )
