"""Small pipelines, statuses and observations for controller tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from operators.mimo_pipeline.api import (
    MimoPipelineSpec,
    MimoPipelineStatus,
    PipelineRuntime,
    StageSpec,
    StageState,
    StageStatus,
)
from operators.mimo_pipeline.keys import keys_to_look_up, stage_inputs, stage_key
from operators.mimo_pipeline.plan import LeafPhase, Observed, Output, Plan, StageObservation
from operators.mimo_pipeline.reconcile import reconcile

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
RUNTIME = PipelineRuntime(
    config_digests={"a": "sha256:ca", "b": "sha256:cb", "end": "sha256:ce"}, code_digest="sha256:x"
)


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def chain(**changes: Any) -> MimoPipelineSpec:
    """a -> b -> end, where end runs on failure too."""
    stages = (
        StageSpec(name="a"),
        StageSpec(name="b", depends_on=("a",)),
        StageSpec(name="end", depends_on=("a", "b"), run_on_failure=True),
    )
    return MimoPipelineSpec(profile="tiny", stages=stages).model_copy(update=changes)


def with_stage(spec: MimoPipelineSpec, name: str, **changes: Any) -> MimoPipelineSpec:
    stages = tuple(s.model_copy(update=changes) if s.name == name else s for s in spec.stages)
    return spec.model_copy(update={"stages": stages})


def output(name: str, key: str = "", **metrics: float) -> Output:
    return Output(uri=f"file:///store/{name}", digest=f"sha256:out-{name}", key=key, metrics=metrics)


def started(spec: MimoPipelineSpec, *stages: StageStatus) -> MimoPipelineStatus:
    """A status after the start; stages not given are Pending. Keys of given stages are filled in."""
    given = {s.name: s for s in stages}
    all_stages = {s.name: given.get(s.name, StageStatus(name=s.name)) for s in spec.stages}
    runtime = RUNTIME.model_copy(update={"spec_digest": spec.fixed_digest()})
    for stage in spec.stages:
        current = all_stages[stage.name]
        if current.attempt and not current.key:
            key = stage_key(stage, stage_inputs(spec, stage, all_stages), runtime)
            all_stages[stage.name] = current.model_copy(update={"key": key})
    return MimoPipelineStatus(started_at=NOW, runtime=runtime, stages=tuple(all_stages.values()))


def running(name: str, attempt: int = 1, **changes: Any) -> StageStatus:
    return StageStatus(name=name, state=StageState.RUNNING, attempt=attempt, started_at=NOW, **changes)


def succeeded(name: str, **changes: Any) -> StageStatus:
    done = {"output_uri": f"file:///store/{name}", "digest": f"sha256:out-{name}", "finished_at": NOW}
    return StageStatus(name=name, state=StageState.SUCCEEDED, started_at=NOW, **{"attempt": 1, **done, **changes})


def alive(name: str, attempt: int = 1, **changes: Any) -> StageObservation:
    seen: dict[str, Any] = {"stage": name, "attempt": attempt, "phase": LeafPhase.RUNNING, "alive": True}
    return StageObservation(**{**seen, **changes})


def gone(name: str, attempt: int = 1, exit_code: int | None = None, **changes: Any) -> StageObservation:
    seen: dict[str, Any] = {"stage": name, "attempt": attempt, "phase": LeafPhase.GONE, "alive": False}
    return StageObservation(**{**seen, "exit_code": exit_code, **changes})


def plan_for(
    spec: MimoPipelineSpec,
    status: MimoPipelineStatus,
    *attempts: StageObservation,
    index: dict[str, Output] | None = None,
    now: datetime = NOW,
    **changes: Any,
) -> Plan:
    """Reconcile with every key looked up; `index` holds what the key index knows."""
    known = index or {}
    looked_up = {key: known.get(key) for key in keys_to_look_up(spec, status)}
    seen: dict[str, Any] = {"attempts": attempts, "outputs_by_key": looked_up, "runtime": RUNTIME, "pipeline": "demo"}
    return reconcile(spec, status, Observed(**{**seen, **changes}), now)


def stage_of(plan: Plan, name: str) -> StageStatus:
    assert plan.status is not None, "the plan leaves the status unchanged"
    return plan.status.stage(name)


def follow(spec: MimoPipelineSpec, status: MimoPipelineStatus, *attempts: StageObservation, **changes: Any) -> Plan:
    """Reconcile until nothing more is decided for an unchanging world; the last plan that changed something."""
    plan = plan_for(spec, status, *attempts, **changes)
    for _ in range(10):
        if plan.create or plan.status is None:
            return plan
        following = plan_for(spec, plan.status, *attempts, **changes)
        if following.is_empty:
            return plan
        plan = following
    raise AssertionError("the plan does not settle")
