"""What becomes of a stage whose attempt exists: adopt it, watch it, stop it, take its output, or judge its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from mimo_vl.schema.verdict import AttemptVerdict
from operators.mimo_pipeline.api import ACTIVE_STATES, LastFailure, StageSpec, StageState, StageStatus
from operators.mimo_pipeline.draft import MAX_MESSAGE, MAX_REASON, Draft
from operators.mimo_pipeline.gates import accept_output
from operators.mimo_pipeline.keys import WAITING_STATES
from operators.mimo_pipeline.outcomes import EVICTING, Outcome, Verdict, backoff_s, judge
from operators.mimo_pipeline.plan import Conclude, LeafPhase, StageObservation

# Time to save a checkpoint after SIGTERM before SIGKILL.
STOP_GRACE_S = 120.0
# Time that processes may take to end after the manifest is written.
LINGER_S = 60.0
# Time between two orders to kill.
KILL_REPEAT_S = 5.0
# No pod of the attempt runs yet.
_WITHOUT_PODS = frozenset({LeafPhase.QUEUED, LeafPhase.STARTING})
# Reasons of an active stage that are no obstacle to its start.
_LASTING_REASONS = frozenset({"", "Started", "Adopted", "Stopping", EVICTING})


def advance(draft: Draft, stage: StageSpec) -> None:
    """Bring one stage up to date with what is seen of its attempts."""
    if draft.stages[stage.name].state in WAITING_STATES:
        adopt(draft, stage.name)
    current = draft.stages[stage.name]
    if current.state not in ACTIVE_STATES:
        return
    seen = draft.attempt(stage.name, current.attempt)
    if seen is not None and seen.alive:
        _watch(draft, stage.name, seen)
    elif seen is not None and seen.output is not None:
        draft.set(
            stage.name,
            exit_code=seen.exit_code,
            progress=seen.progress or current.progress,
            image_id=seen.image_id or current.image_id,
        )
        accept_output(draft, stage.name, seen.output, reused=False)
    else:
        _conclude(draft, stage, seen)


def adopt(draft: Draft, name: str) -> None:
    """An attempt newer than the status knows was created just before a crash: it is ours."""
    current, seen = draft.stages[name], draft.latest(name)
    if seen is None or seen.attempt <= current.attempt:
        return
    draft.set(
        name,
        state=StageState.RUNNING,
        attempt=seen.attempt,
        key=seen.key or current.key,
        started_at=current.started_at or draft.now,
        reason="Adopted",
        message="",
        not_before=None,
    )


def _watch(draft: Draft, name: str, seen: StageObservation) -> None:
    current = draft.stages[name]
    state = StageState.QUEUED if seen.phase == LeafPhase.QUEUED else StageState.RUNNING
    draft.set(
        name,
        state=state,
        progress=seen.progress or current.progress,
        image_id=seen.image_id or current.image_id,
    )
    if seen.phase not in _WITHOUT_PODS and current.running_since is None:
        draft.set(name, running_since=draft.now)
    if seen.output is not None:
        _let_it_end(draft, seen)
    elif seen.headless:
        draft.stop(seen, grace_s=KILL_REPEAT_S)
    elif _must_stop(draft):
        if current.stopped_attempt != seen.attempt:
            draft.set(name, stopped_attempt=seen.attempt, reason="Stopping", message="asked to save and end")
        draft.stop(seen, grace_s=STOP_GRACE_S)
    elif seen.is_evicted:
        if current.stopped_attempt != seen.attempt:
            draft.set(name, reason=EVICTING, message="its pods are being taken away; it goes on in a new attempt")
        # Its queue may admit the same job again, which must not run a second time.
        if seen.phase == LeafPhase.INTERRUPTED:
            draft.stop(seen, grace_s=STOP_GRACE_S)
    else:
        _show_obstacle(draft, current, seen)


def _show_obstacle(draft: Draft, current: StageStatus, seen: StageObservation) -> None:
    """Why it does not start yet (no node, no image, no Secret), until it does."""
    if seen.reason:
        draft.set(current.name, reason=seen.reason, message=seen.message)
    elif current.reason not in _LASTING_REASONS:
        draft.set(current.name, reason="Started", message="")


def _must_stop(draft: Draft) -> bool:
    return draft.spec.suspend or draft.spec.cancel


def _let_it_end(draft: Draft, seen: StageObservation) -> None:
    """The manifest decided success; processes that hang afterwards are stopped."""
    waited_s = seen.finishing_s or 0.0
    if waited_s < LINGER_S:
        draft.requeue_in(LINGER_S - waited_s)
    else:
        draft.stop(seen, grace_s=KILL_REPEAT_S)


def _conclude(draft: Draft, stage: StageSpec, seen: StageObservation | None) -> None:
    current = draft.stages[stage.name]
    outcome, verdict = pass_verdict(draft, stage.name, seen)
    facts = {
        "exit_code": verdict.exit_code,
        "reason": verdict.reason,
        "message": verdict.message,
        "free_resumes": outcome.free_resumes,
        "last_failure": last_failure(current, outcome, verdict),
    }
    if draft.spec.cancel:
        facts["reason"] = "Cancelled"
        draft.set(stage.name, state=StageState.FAILED, finished_at=draft.now, **facts)
    elif outcome.verdict == Verdict.PERMANENT:
        draft.set(stage.name, state=StageState.FAILED, finished_at=draft.now, **facts)
    elif outcome.verdict == Verdict.STOPPED and draft.spec.suspend:
        draft.set(stage.name, state=StageState.SUSPENDED, not_before=None, **facts)
    elif outcome.verdict in (Verdict.FREE, Verdict.STOPPED):
        draft.set(stage.name, state=StageState.RETRYING, not_before=None, **facts)
    else:
        _count_failure(draft, stage, current, facts)


def pass_verdict(draft: Draft, name: str, seen: StageObservation | None) -> tuple[Outcome, AttemptVerdict]:
    """Judge an attempt with no process left and no output. Its verdict is written once, before the status."""
    current = draft.stages[name]
    outcome = judge(current, seen)
    if outcome.verdict == Verdict.STOPPED and draft.spec.cancel:
        outcome = replace(outcome, reason="Cancelled")
    verdict = AttemptVerdict(
        state=outcome.end,
        reason=outcome.reason[:MAX_REASON],
        message=outcome.message[:MAX_MESSAGE],
        exit_code=seen.exit_code if seen else None,
    )
    if seen is None or seen.verdict is None:
        draft.conclude.append(Conclude(stage=name, attempt=current.attempt, verdict=verdict))
    return outcome, verdict


def last_failure(current: StageStatus, outcome: Outcome, verdict: AttemptVerdict) -> LastFailure | None:
    if outcome.verdict == Verdict.STOPPED:
        # Somebody asked for it: nothing went wrong.
        return current.last_failure
    return LastFailure(
        attempt=current.attempt, reason=verdict.reason, message=verdict.message, exit_code=verdict.exit_code
    )


def _count_failure(draft: Draft, stage: StageSpec, current: StageStatus, facts: Mapping[str, object]) -> None:
    failures = current.failures + 1
    if failures >= stage.retry.max_attempts:
        draft.set(stage.name, state=StageState.FAILED, finished_at=draft.now, failures=failures, **facts)
        return
    not_before = draft.now + timedelta(seconds=backoff_s(stage.retry, failures))
    draft.set(stage.name, state=StageState.RETRYING, failures=failures, not_before=not_before, **facts)
