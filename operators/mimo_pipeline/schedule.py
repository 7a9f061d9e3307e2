"""Which waiting stages start, are reused or are skipped now."""

from __future__ import annotations

from operators.mimo_pipeline.api import ACTIVE_STATES, StageSpec, StageState
from operators.mimo_pipeline.draft import Draft
from operators.mimo_pipeline.gates import accept_output
from operators.mimo_pipeline.keys import WAITING_STATES, is_ready, stage_inputs, stage_key
from operators.mimo_pipeline.naming import MAX_ATTEMPT
from operators.mimo_pipeline.plan import Create


def schedule(draft: Draft) -> None:
    for stage in draft.order:
        state = draft.stages[stage.name].state
        if state not in WAITING_STATES and not (draft.spec.cancel and state == StageState.AWAITING_APPROVAL):
            continue
        if draft.spec.cancel:
            draft.set(stage.name, state=StageState.SKIPPED, reason="Cancelled", message="", finished_at=draft.now)
        elif _is_hopeless(draft, stage):
            text = "a stage failed; retry it with: mimo retry"
            draft.set(
                stage.name, state=StageState.SKIPPED, reason="PipelineFailed", message=text, finished_at=draft.now
            )
        elif not draft.spec.suspend and is_ready(stage, draft.stages):
            _begin(draft, stage)


def _is_hopeless(draft: Draft, stage: StageSpec) -> bool:
    """Nothing new starts after a failure, except what is meant to run then."""
    return draft.has_failed() and not stage.run_on_failure


def _begin(draft: Draft, stage: StageSpec) -> None:
    runtime = draft.status.runtime
    assert runtime is not None, "stages are scheduled after the start"
    inputs = stage_inputs(draft.spec, stage, draft.stages)
    key = stage_key(stage, inputs, runtime)
    current = draft.stages[stage.name]
    if not current.rerun:
        if key not in draft.observed.outputs_by_key:
            # It became ready just now; its key is looked up before the next round.
            draft.requeue_in(0.0)
            return
        found = draft.observed.outputs_by_key[key]
        if found is not None:
            draft.set(stage.name, started_at=current.started_at or draft.now)
            accept_output(draft, stage.name, found, reused=True)
            draft.requeue_in(0.0)
            return
    if _may_start(draft, stage.name):
        _start(draft, stage, Create(stage=stage.name, attempt=_next_attempt(draft, stage.name), key=key, inputs=inputs))


def _may_start(draft: Draft, name: str) -> bool:
    not_before = draft.stages[name].not_before
    if not_before is not None and not_before > draft.now:
        draft.requeue_in((not_before - draft.now).total_seconds())
        return False
    # Fencing: the next attempt starts only when nothing of any earlier one is left.
    if any(a.alive for a in draft.observed.of(name)):
        return False
    if _next_attempt(draft, name) > MAX_ATTEMPT:
        text = f"{MAX_ATTEMPT} attempts were made; start a new pipeline"
        draft.set(name, state=StageState.FAILED, reason="TooManyAttempts", message=text, finished_at=draft.now)
        return False
    busy = sum(s.state in ACTIVE_STATES for s in draft.stages.values())
    return busy < draft.spec.max_parallel_stages


def _next_attempt(draft: Draft, name: str) -> int:
    newest = draft.latest(name)
    return max(draft.stages[name].attempt, newest.attempt if newest else 0) + 1


def _start(draft: Draft, stage: StageSpec, create: Create) -> None:
    current = draft.stages[stage.name]
    attempt, step = _newest_checkpoint(draft, stage.name, create.key)
    if attempt is not None:
        create = Create(
            stage=create.stage, attempt=create.attempt, key=create.key, inputs=create.inputs, resume_attempt=attempt
        )
    draft.create.append(create)
    draft.set(
        stage.name,
        state=StageState.RUNNING,
        attempt=create.attempt,
        key=create.key,
        started_at=current.started_at or draft.now,
        finished_at=None,
        reason="Started",
        message="" if step < 0 else f"continues at step {step} of attempt {attempt}",
        resume_step=step,
        progress=None,
        exit_code=None,
        image_id="",
        not_before=None,
        reused=False,
    )


def _newest_checkpoint(draft: Draft, name: str, key: str) -> tuple[int | None, int]:
    """Attempt and step of the newest complete checkpoint that is ours: same key, after the last retry request.

    Without any complete one, the newest such attempt with step -1: stages that log finished items (evaluate) take over
    what it left, the others find no complete checkpoint there and start from the beginning.
    """
    oldest = draft.stages[name].fresh_after_attempt
    usable = [
        (-1 if seen.checkpoint_step is None else seen.checkpoint_step, seen.attempt)
        for seen in draft.observed.of(name)
        if seen.key == key and seen.attempt > oldest
    ]
    if not usable:
        return None, -1
    step, attempt = max(usable)
    return attempt, step
