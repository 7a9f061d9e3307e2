"""The whole logic of the controller: `reconcile(spec, status, observed, now) -> Plan`, a pure function.

Level-triggered: it compares what is wanted with what is seen and says what to do next. Kubernetes handlers and the
local loop only observe, call it and apply the Plan. It remembers nothing; the status does.

Order of one round: check the spec -> freeze the runtime (first time) -> retry requests -> attempts that exist ->
approvals -> digests of images -> stages that may start -> index of outputs -> phase and conditions -> clean-up.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from operators.mimo_pipeline import conditions
from operators.mimo_pipeline.api import (
    TERMINAL_PHASES,
    MimoPipelineSpec,
    MimoPipelineStatus,
    StageState,
)
from operators.mimo_pipeline.draft import MAX_MESSAGE, Draft
from operators.mimo_pipeline.gates import check_approval
from operators.mimo_pipeline.headline import headline
from operators.mimo_pipeline.image_pins import pinned_images
from operators.mimo_pipeline.plan import Delete, IndexEntry, Observed, Plan
from operators.mimo_pipeline.retry import apply_retry
from operators.mimo_pipeline.schedule import schedule
from operators.mimo_pipeline.stage_graph import problems
from operators.mimo_pipeline.transitions import advance


def reconcile(spec: MimoPipelineSpec, status: MimoPipelineStatus, observed: Observed, now: datetime) -> Plan:
    """Decide what to do next.

    Args:
        spec: what the user wants.
        status: what was written last; a lost write is harmless.
        observed: attempts of all stages, key index entries, composed configuration.
        now: aware UTC time.
    """
    wrong = problems(observed.pipeline, spec)
    if wrong:
        return _refuse(status, observed, now, "InvalidSpec", [*wrong, *observed.problems])
    draft = Draft(spec, status, observed, now)
    if not _start_once(draft):
        return _refuse(status, observed, now, "InvalidConfiguration", list(observed.problems) or ["not composed yet"])
    assert draft.status.runtime is not None
    if draft.status.runtime.spec_digest != spec.fixed_digest():
        text = "only suspend, cancel, retry, approvals and ttlSecondsAfterFinished may change after the start; "
        return _refuse(status, observed, now, "ImmutableFieldChanged", [text + "create a new pipeline: reuse is cheap"])
    apply_retry(draft)
    for stage in draft.order:
        advance(draft, stage)
        check_approval(draft, stage.name)
    _pin_images(draft)
    schedule(draft)
    _enter_into_index(draft)
    _summarise(draft)
    _clean_up(draft)
    return draft.plan()


def _start_once(draft: Draft) -> bool:
    """Freeze configuration and code version at the first round; False if they cannot be had."""
    if draft.status.started_at is not None:
        return True
    runtime = draft.observed.runtime
    if runtime is None or draft.observed.problems:
        return False
    frozen = runtime.model_copy(update={"spec_digest": draft.spec.fixed_digest()})
    draft.change(started_at=draft.now, runtime=frozen)
    return True


def _pin_images(draft: Draft) -> None:
    runtime = draft.status.runtime
    assert runtime is not None
    pinned = pinned_images(draft.order, draft.stages, runtime.image_digests)
    if pinned != runtime.image_digests:
        draft.change(runtime=runtime.model_copy(update={"image_digests": pinned}))


def _refuse(status: MimoPipelineStatus, observed: Observed, now: datetime, reason: str, wrong: list[str]) -> Plan:
    """Change nothing in the world; say why in the condition Valid, all problems at once."""
    others = {
        c.type: (c.status == "True", c.reason, c.message) for c in status.conditions if c.type != conditions.VALID
    }
    wanted = {**conditions.of_invalid(reason, wrong), **others}
    new = status.model_copy(
        update={
            "conditions": conditions.updated(status.conditions, wanted, observed.generation, now),
            "observed_generation": observed.generation,
            "message": "; ".join(wrong)[:MAX_MESSAGE],
        }
    )
    return Plan(status=None if new == status else new)


def _enter_into_index(draft: Draft) -> None:
    """Fresh outputs whose key has no usable entry yet. Never replaced: two runs of one key would fight for ever."""
    for stage in draft.stages.values():
        fresh = stage.state == StageState.SUCCEEDED and not stage.reused
        if not fresh:
            continue
        if stage.key not in draft.observed.outputs_by_key:
            draft.requeue_in(0.0)
        elif draft.observed.outputs_by_key[stage.key] is None:
            entry = IndexEntry(stage=stage.name, key=stage.key, uri=stage.output_uri, digest=stage.digest)
            draft.index.append(entry)


def _summarise(draft: Draft) -> None:
    stages = list(draft.stages.values())
    phase = conditions.phase_of(draft.spec, stages)
    draft.set_phase(phase)
    wanted = conditions.of_phase(phase, stages)
    generation = draft.observed.generation
    draft.change(
        conditions=conditions.updated(draft.status.conditions, wanted, generation, draft.now),
        observed_generation=generation,
        mlflow=draft.observed.tracking_url or draft.status.mlflow,
        **headline(stages),
    )
    if phase not in TERMINAL_PHASES:
        draft.change(finished_at=None)
    elif draft.status.finished_at is None:
        draft.change(finished_at=draft.now)


def _clean_up(draft: Draft) -> None:
    """After the TTL the finished jobs go; artifacts stay."""
    ttl_s, finished = draft.spec.ttl_seconds_after_finished, draft.status.finished_at
    if ttl_s is None or finished is None:
        return
    due = finished + timedelta(seconds=ttl_s)
    left = [a for a in draft.observed.attempts if a.object_exists and not a.alive]
    if due > draft.now:
        if left:
            draft.requeue_in((due - draft.now).total_seconds())
        return
    draft.delete.extend(Delete(stage=a.stage, attempt=a.attempt) for a in left)
