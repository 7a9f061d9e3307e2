"""The line that `kubectl get mimopipelines` shows."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from operators.mimo_pipeline.api import (
    CONTROL_FIELDS,
    LastFailure,
    MimoPipelineSpec,
    MimoPipelineStatus,
    StageProgress,
    StageSpec,
    StageState,
    StageStatus,
)
from operators.mimo_pipeline.headline import headline
from tests.fakes.pipelines import alive, chain, plan_for, running, started, succeeded


def _stage(name: str, state: StageState, **changes) -> StageStatus:
    return StageStatus(name=name, state=state, attempt=1, **changes)


def test_the_running_stage_is_shown_with_its_steps_and_attempt() -> None:
    running = _stage("b", StageState.RUNNING, progress=StageProgress(step=12, total=40))
    found = headline([_stage("a", StageState.SUCCEEDED), running, StageStatus(name="c")])
    assert found == {"current_stage": "b", "progress": "12/40", "attempt": 1, "message": ""}


def test_an_unknown_total_is_a_question_mark_and_no_progress_is_empty() -> None:
    assert headline([_stage("a", StageState.RUNNING, progress=StageProgress(step=3))])["progress"] == "3/?"
    assert headline([_stage("a", StageState.RUNNING)])["progress"] == ""


def test_what_waits_for_a_person_goes_before_what_comes_next() -> None:
    waiting = _stage("a", StageState.AWAITING_APPROVAL, message="approve it with: mimo approve a")
    found = headline([StageStatus(name="first"), waiting])
    assert (found["current_stage"], found["message"]) == ("a", "approve it with: mimo approve a")


def test_a_failed_stage_is_shown_with_reason_and_message() -> None:
    failed = _stage("b", StageState.FAILED, reason="GateNotMet", message="loss <= 1 is not met: 2")
    found = headline([_stage("a", StageState.SUCCEEDED), failed, _stage("c", StageState.SKIPPED)])
    assert (found["current_stage"], found["message"]) == ("b", "GateNotMet: loss <= 1 is not met: 2")


def test_what_still_runs_goes_before_what_failed() -> None:
    stages = [_stage("a", StageState.FAILED, reason="Oom"), _stage("finalize", StageState.RUNNING)]
    assert headline(stages)["current_stage"] == "finalize"


def test_while_the_next_attempt_runs_the_message_says_why_the_one_before_ended() -> None:
    failure = LastFailure(attempt=1, reason="Evicted", message="its pod was evicted")
    second = StageStatus(name="b", state=StageState.RUNNING, attempt=2, reason="Started", last_failure=failure)
    found = headline([second])
    assert (found["attempt"], found["message"]) == (2, "attempt 1: Evicted: its pod was evicted")
    own = second.model_copy(update={"state": StageState.RETRYING, "attempt": 1, "reason": "Evicted", "message": "x"})
    assert headline([own])["message"] == "Evicted: x"


def test_a_finished_pipeline_shows_how_many_stages_succeeded() -> None:
    stages = [_stage("a", StageState.SUCCEEDED), _stage("b", StageState.SUCCEEDED)]
    assert headline(stages) == {"current_stage": "", "progress": "2/2 stages", "attempt": 0, "message": ""}


def test_reconcile_writes_the_headline_and_keeps_a_known_tracking_address() -> None:
    spec = chain()
    before = started(spec, succeeded("a"), running("b")).model_copy(update={"mlflow": "http://mlflow/#/runs/1"})
    plan = plan_for(spec, before, alive("b", progress=StageProgress(step=1, total=2)))
    assert plan.status is not None
    assert (plan.status.current_stage, plan.status.progress) == ("b", "1/2")
    assert plan.status.mlflow == "http://mlflow/#/runs/1"


def test_a_refused_spec_says_why_in_the_message() -> None:
    spec = MimoPipelineSpec(profile="tiny", stages=(StageSpec(name="a", depends_on=("b",)),))
    plan = plan_for(spec, MimoPipelineStatus())
    assert plan.status is not None
    assert plan.status.message == "spec.stages[a].dependsOn: no stage 'b'"


def test_a_long_progress_message_is_cut_and_surplus_metrics_go() -> None:
    metrics = {f"m{i:03}": float(i) for i in range(100)}
    progress = StageProgress(step=1, message="x" * 5000, metrics=metrics)
    assert len(progress.message) == 1024
    assert (len(progress.metrics), max(progress.metrics)) == (64, "m063")


def test_the_identity_of_a_spec_does_not_change_with_controls_or_with_spelt_out_defaults() -> None:
    spec = chain()
    spelt_out = MimoPipelineSpec.model_validate({**spec.to_values(), "maxParallelStages": 1, "suspend": True})
    assert spelt_out.fixed_digest() == spec.fixed_digest()
    assert spec.model_copy(update={"max_parallel_stages": 2}).fixed_digest() != spec.fixed_digest()
    assert "suspend" in CONTROL_FIELDS


def test_a_stage_name_of_a_dependency_must_look_like_one() -> None:
    with pytest.raises(ValidationError, match="dependsOn"):
        StageSpec.model_validate({"name": "a", "dependsOn": ["B!"]})
