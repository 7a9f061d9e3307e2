"""The Plan for every situation of a pipeline, one fact per test."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mimo_vl.schema.verdict import AttemptEnd, AttemptVerdict
from operators.mimo_pipeline.api import (
    Approval,
    Comparison,
    Gate,
    LastFailure,
    MimoPipelineStatus,
    Phase,
    RetryPolicy,
    RetryRequest,
    StageApproval,
    StageProgress,
    StageState,
    StageStatus,
)
from operators.mimo_pipeline.plan import Delete, InputArtifact, LeafPhase
from operators.mimo_pipeline.retry import reopen
from tests.fakes.pipelines import (
    NOW,
    RUNTIME,
    alive,
    chain,
    follow,
    gone,
    later,
    output,
    plan_for,
    running,
    stage_of,
    started,
    succeeded,
    with_stage,
)


def test_the_first_round_freezes_the_runtime_and_the_second_starts_the_first_stage() -> None:
    spec = chain()
    first = plan_for(spec, MimoPipelineStatus())
    assert first.create == ()
    assert first.requeue_after_s == 0.0
    assert first.status is not None
    assert first.status.runtime is not None
    assert first.status.runtime.code_digest == RUNTIME.code_digest
    second = plan_for(spec, first.status)
    assert [(c.stage, c.attempt, c.resume_attempt) for c in second.create] == [("a", 1, None)]
    assert stage_of(second, "a").state == StageState.RUNNING


def test_a_runtime_frozen_at_the_start_is_not_replaced_by_newer_code() -> None:
    spec = chain()
    newer = RUNTIME.model_copy(update={"code_digest": "sha256:newer"})
    plan = plan_for(spec, started(spec), runtime=newer)
    assert plan.status is not None
    assert plan.status.runtime is not None
    assert plan.status.runtime.code_digest == RUNTIME.code_digest


def test_a_stage_with_the_manifest_of_its_attempt_succeeds_whatever_its_exit_code() -> None:
    spec = chain()
    plan = plan_for(spec, started(spec, running("a")), gone("a", exit_code=1, output=output("a", "sha256:k")))
    assert stage_of(plan, "a").state == StageState.SUCCEEDED
    assert stage_of(plan, "a").digest == "sha256:out-a"
    assert not stage_of(plan, "a").reused


def test_the_next_stage_gets_the_outputs_of_those_it_depends_on() -> None:
    spec = chain()
    plan = follow(spec, started(spec, succeeded("a")), gone("a", output=output("a")))
    assert plan.create[0].stage == "b"
    assert plan.create[0].inputs == {"a": InputArtifact(uri="file:///store/a", digest="sha256:out-a")}


def test_a_running_stage_shows_its_progress_and_nothing_is_planned() -> None:
    spec = chain()
    seen = alive("a", progress=StageProgress(step=3, total=10))
    plan = follow(spec, started(spec, running("a")), seen)
    assert stage_of(plan, "a").progress == StageProgress(step=3, total=10)
    assert plan_for(spec, plan.status, seen).is_empty


def test_a_queued_leaf_is_a_state_not_a_failure() -> None:
    spec = chain()
    plan = plan_for(spec, started(spec, running("a")), alive("a", phase=LeafPhase.QUEUED))
    assert stage_of(plan, "a").state == StageState.QUEUED
    assert stage_of(plan, "a").failures == 0


def test_exit_zero_without_a_manifest_is_a_failure() -> None:
    spec = chain()
    plan = plan_for(spec, started(spec, running("a")), gone("a", exit_code=0))
    assert (stage_of(plan, "a").state, stage_of(plan, "a").reason) == (StageState.RETRYING, "NoManifest")
    assert stage_of(plan, "a").failures == 1


def test_exit_two_fails_at_once_and_skips_what_follows_but_not_the_end() -> None:
    spec = chain()
    status = started(spec, running("a"))
    plan = follow(spec, status, gone("a", exit_code=2, message="data.x: unknown key"))
    assert (stage_of(plan, "a").state, stage_of(plan, "a").reason) == (StageState.FAILED, "PermanentError")
    assert stage_of(plan, "a").message == "data.x: unknown key"
    assert (stage_of(plan, "b").state, stage_of(plan, "b").reason) == (StageState.SKIPPED, "PipelineFailed")
    assert [c.stage for c in plan.create] == ["end"]
    assert plan.create[0].inputs == {}


def test_the_pipeline_is_failed_only_after_the_end_stage_ran() -> None:
    spec = chain()
    failed = StageStatus(name="a", state=StageState.FAILED, attempt=1)
    skipped = StageStatus(name="b", state=StageState.SKIPPED)
    busy = plan_for(spec, started(spec, failed, skipped, running("end")), alive("end"))
    assert busy.status is not None
    assert busy.status.phase == Phase.RUNNING
    done = plan_for(spec, busy.status, gone("end", output=output("end")))
    assert done.status is not None
    assert done.status.phase == Phase.FAILED
    assert done.status.finished_at == NOW


def test_other_exit_codes_back_off_twice_as_long_each_time_up_to_the_cap() -> None:
    policy = RetryPolicy(max_attempts=9, backoff_seconds=5, max_backoff_seconds=15)
    spec = with_stage(chain(), "a", retry=policy)
    waits = []
    for failures in (0, 1, 2):
        status = started(spec, running("a", failures=failures))
        stage = stage_of(plan_for(spec, status, gone("a", exit_code=1)), "a")
        assert stage.state == StageState.RETRYING
        assert stage.not_before is not None
        waits.append((stage.not_before - NOW).total_seconds())
    assert waits == [5.0, 10.0, 15.0]


def test_the_next_attempt_waits_for_the_end_of_the_back_off() -> None:
    spec = chain()
    status = started(spec, running("a").model_copy(update={"state": StageState.RETRYING, "not_before": later(5)}))
    early = plan_for(spec, status, gone("a", exit_code=1), now=later(2))
    assert early.create == ()
    assert early.requeue_after_s == 3.0
    due = plan_for(spec, status, gone("a", exit_code=1), now=later(5))
    assert [(c.stage, c.attempt) for c in due.create] == [("a", 2)]


def test_the_last_failure_that_the_policy_allows_fails_the_stage() -> None:
    spec = chain()
    plan = plan_for(spec, started(spec, running("a", attempt=3, failures=2)), gone("a", 3, exit_code=1))
    assert stage_of(plan, "a").state == StageState.FAILED
    assert stage_of(plan, "a").failures == 3


def test_a_process_that_vanished_without_a_record_counts_as_a_failure() -> None:
    spec = chain()
    plan = plan_for(spec, started(spec, running("a")))
    assert (stage_of(plan, "a").reason, stage_of(plan, "a").failures) == ("ProcessLost", 1)


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (gone("a", exit_code=1, is_oom=True), "OutOfMemory"),
        (gone("a", exit_code=137), "Killed"),
        (gone("a", exit_code=3), "Failed"),
        (gone("a", exit_code=1, reason="DiskFull"), "DiskFull"),
        (gone("a", exit_code=2, reason="NonFiniteLossError"), "NonFiniteLossError"),
    ],
)
def test_a_failure_is_named_after_its_cause(seen, reason) -> None:
    spec = chain()
    assert stage_of(plan_for(spec, started(spec, running("a")), seen), "a").reason == reason


def test_75_with_a_newer_checkpoint_is_free_and_continues_there_at_once() -> None:
    spec = chain()
    status = started(spec, running("a", free_resumes=3, resume_step=10))
    seen = gone("a", exit_code=75, checkpoint_step=20, key=status.stage("a").key)
    plan = follow(spec, status, seen)
    assert [(c.attempt, c.resume_attempt) for c in plan.create] == [(2, 1)]
    stage = stage_of(plan, "a")
    assert (stage.failures, stage.free_resumes, stage.resume_step) == (0, 0, 20)


def test_75_without_a_newer_checkpoint_is_free_three_times_and_then_counts() -> None:
    spec = chain()
    stage, reasons = running("a"), []
    for attempt in range(1, 5):
        plan = follow(spec, started(spec, stage), gone("a", attempt, exit_code=75))
        stage = stage_of(plan, "a")
        reasons.append((stage.reason, stage.failures))
    assert reasons == [("Started", 0), ("Started", 0), ("Started", 0), ("InterruptedTooOften", 1)]


def test_an_eviction_is_free_even_without_a_checkpoint() -> None:
    spec = chain()
    plan = follow(spec, started(spec, running("a", free_resumes=3)), gone("a", exit_code=137, is_evicted=True))
    assert stage_of(plan, "a").failures == 0
    assert [c.attempt for c in plan.create] == [2]


def test_a_checkpoint_of_another_key_is_not_continued() -> None:
    spec = chain()
    seen = gone("a", exit_code=75, checkpoint_step=20, key="sha256:other")
    plan = follow(spec, started(spec, running("a")), seen)
    assert plan.create[0].resume_attempt is None


def test_the_newest_checkpoint_of_all_attempts_is_continued() -> None:
    spec = chain()
    status = started(spec, running("a", attempt=2))
    key = status.stage("a").key
    older, newer = gone("a", 1, checkpoint_step=30, key=key), gone("a", 2, exit_code=75, checkpoint_step=None, key=key)
    assert follow(spec, status, older, newer).create[0].resume_attempt == 1


def test_without_a_complete_checkpoint_the_newest_attempt_of_the_same_key_is_looked_through() -> None:
    spec = chain()
    status = started(spec, running("a", attempt=2))
    key = status.stage("a").key
    plan = follow(spec, status, gone("a", 1, key=key), gone("a", 2, exit_code=75, key=key))
    assert (plan.create[0].resume_attempt, stage_of(plan, "a").resume_step) == (2, -1)
    assert stage_of(plan, "a").message == ""


def test_a_new_attempt_waits_until_every_process_of_the_earlier_one_is_gone() -> None:
    spec = chain()
    status = started(spec, running("a").model_copy(update={"state": StageState.RETRYING}))
    assert plan_for(spec, status, alive("a")).create == ()


def test_an_attempt_created_just_before_a_crash_is_adopted_not_started_again() -> None:
    spec = chain()
    plan = plan_for(spec, started(spec), alive("a", key="sha256:k"))
    assert plan.create == ()
    stage = stage_of(plan, "a")
    assert (stage.state, stage.attempt, stage.key) == (StageState.RUNNING, 1, "sha256:k")


def test_ranks_without_their_launcher_are_stopped_and_then_killed() -> None:
    spec = chain()
    status = started(spec, running("a"))
    assert plan_for(spec, status, alive("a", headless=True)).delete == (Delete(stage="a", attempt=1),)
    waiting = plan_for(spec, status, alive("a", headless=True, terminating_s=1.0))
    assert waiting.delete == ()
    killed = plan_for(spec, status, alive("a", headless=True, terminating_s=6.0))
    assert killed.delete == (Delete(stage="a", attempt=1, force=True),)


def test_processes_that_hang_after_the_manifest_are_stopped() -> None:
    spec = chain()
    status = started(spec, running("a"))
    early = plan_for(spec, status, alive("a", output=output("a"), finishing_s=10.0))
    assert (early.delete, early.requeue_after_s) == ((), 50.0)
    late = plan_for(spec, status, alive("a", output=output("a"), finishing_s=61.0))
    assert late.delete == (Delete(stage="a", attempt=1),)


def test_an_output_with_the_same_key_is_reused_without_an_attempt() -> None:
    spec = chain()
    status = started(spec)
    key = next(iter(plan_for(spec, status).create)).key
    plan = plan_for(spec, status, index={key: output("earlier", key)})
    assert plan.create == ()
    stage = stage_of(plan, "a")
    assert (stage.state, stage.reused, stage.digest) == (StageState.SUCCEEDED, True, "sha256:out-earlier")
    assert stage.attempt == 0


def test_a_fresh_output_enters_the_key_index_once() -> None:
    spec = chain()
    status = started(spec, succeeded("a"), succeeded("b"), running("end"))
    missing = plan_for(spec, status, alive("end"))
    assert {e.stage for e in missing.index} == {"a", "b"}
    entries = {e.key: output(e.stage, e.key) for e in missing.index}
    assert plan_for(spec, status, alive("end"), index=entries).index == ()


def test_a_reused_output_does_not_enter_the_index_again() -> None:
    spec = chain()
    status = started(spec, succeeded("a", reused=True), succeeded("b", reused=True), running("end"))
    assert plan_for(spec, status, alive("end")).index == ()


def test_suspend_stops_the_leaf_and_resume_starts_a_free_attempt() -> None:
    spec = chain(suspend=True)
    asked = plan_for(spec, started(spec, running("a")), alive("a"))
    assert asked.delete == (Delete(stage="a", attempt=1),)
    assert asked.status is not None
    waiting = plan_for(spec, asked.status, alive("a", terminating_s=3.0))
    assert waiting.delete == ()
    stopped = plan_for(spec, asked.status, gone("a", exit_code=137))
    assert stopped.status is not None
    assert (stage_of(stopped, "a").state, stopped.status.phase) == (StageState.SUSPENDED, Phase.SUSPENDED)
    again = plan_for(chain(), stopped.status, gone("a", exit_code=137))
    assert [(c.stage, c.attempt) for c in again.create] == [("a", 2)]
    assert stage_of(again, "a").failures == 0


def test_a_leaf_that_ignores_the_stop_is_killed_after_the_grace_time() -> None:
    spec = chain(suspend=True)
    plan = plan_for(spec, started(spec, running("a", stopped_attempt=1)), alive("a", terminating_s=121.0))
    assert plan.delete == (Delete(stage="a", attempt=1, force=True),)


def test_a_suspended_pipeline_starts_nothing() -> None:
    spec = chain(suspend=True)
    assert follow(spec, started(spec)).create == ()


def test_cancel_stops_what_runs_and_skips_the_rest_even_the_end_stage() -> None:
    spec = chain(cancel=True)
    asked = plan_for(spec, started(spec, running("a")), alive("a"))
    assert asked.delete == (Delete(stage="a", attempt=1),)
    assert asked.status is not None
    ended = plan_for(spec, asked.status, gone("a", exit_code=75))
    assert ended.status is not None
    assert ended.status.phase == Phase.CANCELLED
    states = {s.name: (s.state, s.reason) for s in ended.status.stages}
    assert states == {
        "a": (StageState.FAILED, "Cancelled"),
        "b": (StageState.SKIPPED, "Cancelled"),
        "end": (StageState.SKIPPED, "Cancelled"),
    }


def test_a_gate_that_is_met_lets_the_stage_succeed() -> None:
    gate = Gate(metric="accuracy", comparison=Comparison.GE, threshold=0.7)
    spec = with_stage(chain(), "a", gate=gate)
    plan = plan_for(spec, started(spec, running("a")), gone("a", output=output("a", accuracy=0.7)))
    assert stage_of(plan, "a").state == StageState.SUCCEEDED


@pytest.mark.parametrize("metrics", [{"accuracy": 0.69}, {"loss": 1.0}])
def test_a_gate_that_is_not_met_fails_without_a_retry(metrics) -> None:
    gate = Gate(metric="accuracy", comparison=Comparison.GE, threshold=0.7)
    spec = with_stage(chain(), "a", gate=gate)
    plan = plan_for(spec, started(spec, running("a")), gone("a", exit_code=0, output=output("a", **metrics)))
    assert (stage_of(plan, "a").state, stage_of(plan, "a").reason) == (StageState.FAILED, "GateNotMet")
    assert "accuracy >= 0.7" in stage_of(plan, "a").message


def test_manual_approval_holds_the_stage_until_its_key_is_approved() -> None:
    spec = with_stage(chain(), "a", approval=Approval.MANUAL)
    waiting = follow(spec, started(spec, running("a")), gone("a", output=output("a", "sha256:k")))
    assert waiting.status is not None
    assert waiting.create == ()
    assert (stage_of(waiting, "a").state, waiting.status.phase) == (
        StageState.AWAITING_APPROVAL,
        Phase.AWAITING_APPROVAL,
    )
    wrong = spec.model_copy(update={"approvals": (StageApproval(stage="a", key="sha256:other"),)})
    assert plan_for(wrong, waiting.status).is_empty
    right = spec.model_copy(update={"approvals": (StageApproval(stage="a", key="sha256:k"),)})
    assert [c.stage for c in follow(right, waiting.status).create] == ["b"]


def test_retry_from_a_stage_runs_it_and_its_descendants_anew_without_old_checkpoints_or_outputs() -> None:
    request = RetryRequest(from_stage="a", nonce="n1")
    spec = chain(retry=request)
    status = started(spec, succeeded("a"), succeeded("b"), succeeded("end"))
    key = status.stage("a").key
    seen = gone("a", 1, checkpoint_step=50, key=key, output=output("a", key))
    plan = follow(spec, status, seen, index={key: output("a", key)})
    assert [(c.stage, c.attempt, c.resume_attempt) for c in plan.create] == [("a", 2, None)]
    assert plan.status is not None
    assert plan.status.handled_retry_nonce == "n1"
    assert stage_of(plan, "b").state == StageState.PENDING


def test_retry_leaves_stages_before_it_alone() -> None:
    spec = chain(retry=RetryRequest(from_stage="b", nonce="n1"))
    status = started(spec, succeeded("a"), StageStatus(name="b", state=StageState.FAILED, attempt=3, failures=3))
    plan = follow(spec, status)
    assert stage_of(plan, "a").state == StageState.SUCCEEDED
    assert [(c.stage, c.attempt) for c in plan.create] == [("b", 4)]
    assert stage_of(plan, "b").failures == 0


def test_retry_of_a_running_stage_stops_it_first() -> None:
    spec = chain(retry=RetryRequest(from_stage="a", nonce="n1"))
    plan = plan_for(spec, started(spec, running("a")), alive("a"))
    assert plan.delete == (Delete(stage="a", attempt=1),)
    assert plan.create == ()
    assert plan.status is not None
    assert plan.status.handled_retry_nonce == ""
    after = follow(spec, plan.status, gone("a", exit_code=75))
    assert [(c.stage, c.attempt) for c in after.create] == [("a", 2)]


def test_a_handled_retry_request_is_not_handled_again() -> None:
    spec = chain(retry=RetryRequest(from_stage="a", nonce="n1"))
    status = started(spec, running("a")).model_copy(update={"handled_retry_nonce": "n1"})
    assert plan_for(spec, status, alive("a")).delete == ()


def test_no_more_stages_run_at_once_than_allowed() -> None:
    spec = chain()
    spec = with_stage(spec, "b", depends_on=())
    assert [c.stage for c in plan_for(spec, started(spec)).create] == ["a"]
    wide = spec.model_copy(update={"max_parallel_stages": 2})
    assert [c.stage for c in plan_for(wide, started(wide)).create] == ["a", "b"]


def test_a_finished_stage_never_runs_again() -> None:
    spec = chain()
    done = started(spec, succeeded("a", reused=True), succeeded("b", reused=True), succeeded("end", reused=True))
    plan = plan_for(spec, done)
    assert plan.create == ()
    assert plan.status is not None
    assert plan.status.phase == Phase.SUCCEEDED
    assert plan_for(spec, plan.status).is_empty


def test_finished_jobs_are_deleted_after_the_ttl_and_artifacts_stay() -> None:
    spec = chain(ttl_seconds_after_finished=60)
    done = started(spec, *(succeeded(n, reused=True) for n in ("a", "b", "end")))
    seen = gone("a", object_exists=True)
    first = plan_for(spec, done, seen)
    assert first.status is not None
    assert first.requeue_after_s == 60.0
    due = plan_for(spec, first.status, seen, now=later(60))
    assert due.delete == (Delete(stage="a", attempt=1),)
    assert plan_for(spec, first.status, gone("a"), now=later(61)).is_empty


def test_a_changed_field_that_is_no_control_is_refused_and_nothing_is_touched() -> None:
    before = chain()
    plan = plan_for(chain(profile="smol"), started(before, running("a")), alive("a"))
    assert (plan.create, plan.delete) == ((), ())
    assert plan.status is not None
    valid = next(c for c in plan.status.conditions if c.type == "Valid")
    assert (valid.status, valid.reason) == ("False", "ImmutableFieldChanged")


def test_an_invalid_graph_names_all_problems_at_once() -> None:
    spec = with_stage(chain(), "b", depends_on=("nowhere",))
    spec = with_stage(spec, "end", depends_on=("nothing",))
    plan = plan_for(spec, MimoPipelineStatus())
    assert plan.status is not None
    message = plan.status.conditions[0].message
    assert "nowhere" in message
    assert "nothing" in message


def test_problems_of_the_graph_do_not_hide_those_of_the_configuration() -> None:
    spec = with_stage(chain(), "a", depends_on=("b",))
    wrong = tuple(f"stages.x{i}.lr: unknown key" for i in range(60))
    plan = plan_for(spec, MimoPipelineStatus(), runtime=None, problems=wrong)
    assert plan.status is not None
    [valid] = [c for c in plan.status.conditions if c.type == "Valid"]
    told = valid.message.splitlines()
    assert "depend on each other" in told[0]
    # All of them, although they are longer than a message of a stage may be.
    assert told[1:] == list(wrong)
    assert len(valid.message) > 1024


def test_configuration_that_cannot_be_composed_starts_nothing() -> None:
    plan = plan_for(chain(), MimoPipelineStatus(), runtime=None, problems=("data.x: unknown key",))
    assert plan.create == ()
    assert plan.status is not None
    assert plan.status.started_at is None
    assert plan.status.conditions[0].message == "data.x: unknown key"


def test_a_condition_keeps_its_transition_time_while_its_status_stays() -> None:
    spec = chain()
    first = follow(spec, started(spec, running("a")), alive("a"))
    assert first.status is not None
    second = plan_for(spec, first.status, alive("a", progress=StageProgress(step=1)), now=later(30), generation=2)
    assert second.status is not None
    assert {c.last_transition_time for c in second.status.conditions} == {NOW}
    assert {c.observed_generation for c in second.status.conditions} == {2}


def test_a_transition_is_one_event() -> None:
    spec = chain()
    plan = plan_for(spec, started(spec, running("a")), gone("a", exit_code=2, message="wrong"))
    failed = [e for e in plan.events if e.stage == "a"]
    assert [(e.type, e.reason) for e in failed] == [("Warning", "PermanentError")]


def test_a_key_not_looked_up_yet_delays_the_start_by_one_round() -> None:
    spec = chain()
    plan = plan_for(spec, started(spec), outputs_by_key={})
    assert (plan.create, plan.requeue_after_s) == ((), 0.0)


def test_long_messages_are_cut() -> None:
    spec = chain()
    plan = plan_for(spec, started(spec, running("a")), gone("a", exit_code=2, message="x" * 5000))
    assert len(stage_of(plan, "a").message) == 1024


def test_the_back_off_of_a_late_failure_does_not_overflow() -> None:
    spec = with_stage(chain(), "a", retry=RetryPolicy(max_attempts=100))
    stage = stage_of(plan_for(spec, started(spec, running("a", failures=98)), gone("a", exit_code=1)), "a")
    assert stage.not_before == NOW + timedelta(seconds=300)


def test_why_an_attempt_failed_is_kept_while_the_next_runs_and_after_it_succeeded() -> None:
    spec = chain()
    first = plan_for(spec, started(spec, running("a")), gone("a", exit_code=1, reason="DiskFull", message="no space"))
    failure = LastFailure(attempt=1, reason="DiskFull", message="no space", exit_code=1)
    assert stage_of(first, "a").last_failure == failure
    assert first.status is not None
    second = plan_for(spec, first.status, gone("a", exit_code=1), now=later(60))
    assert (stage_of(second, "a").attempt, stage_of(second, "a").reason) == (2, "Started")
    assert stage_of(second, "a").last_failure == failure
    assert second.status is not None
    done = plan_for(spec, second.status, gone("a", attempt=2, exit_code=0, output=output("a")))
    assert stage_of(done, "a").state == StageState.SUCCEEDED
    assert stage_of(done, "a").last_failure == failure


@pytest.mark.parametrize(
    ("seen", "failure"),
    [
        (
            gone("a", exit_code=2, message="bad"),
            LastFailure(attempt=1, reason="PermanentError", message="bad", exit_code=2),
        ),
        (gone("a", is_evicted=True), LastFailure(attempt=1, reason="Evicted", message="its pod was evicted")),
        (
            gone("a", exit_code=75, checkpoint_step=4),
            LastFailure(attempt=1, reason="Interrupted", message="interrupted after saving step 4", exit_code=75),
        ),
        (
            gone("a", is_evicted=True, reason="NodeLost", message="its node stopped answering"),
            LastFailure(attempt=1, reason="NodeLost", message="its node stopped answering"),
        ),
    ],
)
def test_every_end_without_success_is_the_last_failure_and_the_verdict_has_the_same_words(seen, failure) -> None:
    spec = chain()
    plan = plan_for(spec, started(spec, running("a")), seen)
    assert stage_of(plan, "a").last_failure == failure
    [order] = plan.conclude
    assert (order.stage, order.attempt) == ("a", 1)
    assert order.verdict.model_dump(exclude={"version", "state"}) == failure.model_dump(exclude={"attempt"})


@pytest.mark.parametrize(
    ("seen", "end"),
    [
        (gone("a", exit_code=1, reason="DiskFull", message="no space"), "Failed"),
        (gone("a", exit_code=2), "Failed"),
        (gone("a", exit_code=0), "Failed"),
        (gone("a", exit_code=1, is_oom=True), "Failed"),
        (gone("a", exit_code=1, reason="Killed", message="rank 1 was ended by SIGABRT"), "Killed"),
        (gone("a", exit_code=137), "Killed"),
        (gone("a"), "Killed"),
        # What the other processes left when their peer was taken away is no other end.
        (gone("a", exit_code=75, is_evicted=True), "Killed"),
        (gone("a", is_evicted=True, reason="NodeLost"), "Killed"),
        (gone("a", exit_code=75), "Interrupted"),
    ],
)
def test_the_verdict_says_what_kind_of_end_it_was(seen, end) -> None:
    spec = chain()
    [order] = plan_for(spec, started(spec, running("a")), seen).conclude
    assert order.verdict.state == end


def test_the_last_words_of_an_evicted_attempt_are_told_behind_its_eviction() -> None:
    spec = chain()
    seen = gone("a", exit_code=75, is_evicted=True, reason="RuntimeError", message="connection closed by peer")
    failure = stage_of(plan_for(spec, started(spec, running("a")), seen), "a").last_failure
    assert failure is not None
    assert failure.reason == "Evicted"
    assert failure.message == "its pod was evicted; its last words: connection closed by peer"


def test_a_verdict_that_a_controller_left_before_it_died_is_what_the_status_says_too() -> None:
    """By then the pods that proved the eviction are gone and forgotten."""
    spec = chain()
    left = AttemptVerdict(state=AttemptEnd.KILLED, reason="Evicted", message="its pod was evicted")
    plan = plan_for(spec, started(spec, running("a")), gone("a", verdict=left))
    failure = stage_of(plan, "a").last_failure
    assert failure is not None
    assert (failure.reason, failure.message) == (left.reason, left.message)
    assert plan.conclude == ()


def test_the_verdict_is_as_long_as_the_status_may_be() -> None:
    spec = chain()
    seen = gone("a", exit_code=1, reason="R" * 200, message="m" * 2000)
    plan = plan_for(spec, started(spec, running("a")), seen)
    failure = stage_of(plan, "a").last_failure
    assert failure is not None
    assert (len(failure.reason), len(failure.message)) == (128, 1024)
    assert (plan.conclude[0].verdict.reason, plan.conclude[0].verdict.message) == (failure.reason, failure.message)


def test_an_attempt_that_ended_for_a_retry_request_has_its_verdict_before_the_next_one() -> None:
    spec = chain(retry=RetryRequest(from_stage="a", nonce="n1"))
    seen = gone("a", exit_code=75, message="stopped after saving")
    plan = plan_for(spec, started(spec, running("a", stopped_attempt=1)), seen)
    [order] = plan.conclude
    assert (order.attempt, order.verdict.state, order.verdict.reason) == (1, "Interrupted", "Stopped")
    assert order.verdict.message == "stopped after saving"
    assert stage_of(plan, "a").last_failure is None


def test_an_attempt_that_was_stopped_by_a_cancellation_says_so() -> None:
    spec = chain(cancel=True)
    [order] = plan_for(spec, started(spec, running("a", stopped_attempt=1)), gone("a", exit_code=75)).conclude
    assert (order.verdict.state, order.verdict.reason) == ("Interrupted", "Cancelled")


def test_an_attempt_with_its_output_gets_no_verdict() -> None:
    spec = chain()
    seen = gone("a", exit_code=1, output=output("a", "sha256:k"))
    assert plan_for(spec, started(spec, running("a")), seen).conclude == ()


def test_an_attempt_of_which_nothing_is_left_is_a_lost_one() -> None:
    spec = chain()
    failure = stage_of(plan_for(spec, started(spec, running("a"))), "a").last_failure
    assert failure is not None
    assert (failure.attempt, failure.reason, failure.exit_code) == (1, "ProcessLost", None)


def test_an_attempt_that_was_stopped_on_request_is_no_failure() -> None:
    spec = chain(suspend=True)
    stopped = plan_for(spec, started(spec, running("a", stopped_attempt=1)), gone("a", exit_code=75))
    assert stage_of(stopped, "a").state == StageState.SUSPENDED
    assert stage_of(stopped, "a").last_failure is None


def test_the_last_failure_outlives_a_retry_request() -> None:
    failure = LastFailure(attempt=1, reason="PermanentError", message="bad", exit_code=2)
    failed = StageStatus(name="a", state=StageState.FAILED, attempt=1, last_failure=failure)
    spec = chain(retry=RetryRequest(from_stage="a", nonce="n1"))
    plan = plan_for(spec, started(spec, failed), gone("a", exit_code=2))
    assert stage_of(plan, "a").last_failure == failure
    reopened = reopen(started(spec, failed))
    assert reopened.stage("a").last_failure == failure


def test_reason_and_message_of_the_last_failure_are_cut() -> None:
    spec = chain()
    seen = gone("a", exit_code=1, reason="R" * 500, message="x" * 5000)
    stage = stage_of(plan_for(spec, started(spec, running("a")), seen), "a")
    assert stage.last_failure == LastFailure(attempt=1, reason="R" * 128, message="x" * 1024, exit_code=1)
    assert stage.reason == "R" * 128
