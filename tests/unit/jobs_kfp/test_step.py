"""A step follows its stage, ends as it ends, retries what it told before, and cancels only what is cancelled."""

from __future__ import annotations

import pytest

from jobs.kfp_step import StageFailedError, StepStoppedError
from mimo_vl.errors import ConfigError
from operators.mimo_pipeline import naming
from operators.mimo_pipeline.api import Condition, LastFailure, Phase, RetryRequest, StageState, StageStatus
from tests.fakes.kfp_target import RUN, FakeKfpTarget, World, failure_told, made_by, mine, request
from tests.fakes.pipelines import NOW, chain, running, succeeded

FAILED = StageStatus(name="b", state=StageState.FAILED, attempt=1, reason="OutOfMemory", message="killed at 2 GiB")


def done(name: str, attempt: int) -> StageStatus:
    return succeeded(name).model_copy(update={"attempt": attempt})


@pytest.fixture
def target() -> FakeKfpTarget:
    return FakeKfpTarget(mine())


def test_a_step_creates_the_pipeline_with_its_run_and_the_label_that_keeps_it_from_being_mirrored() -> None:
    target = FakeKfpTarget()
    world = World(target)
    status = world.play(lambda: target.show(succeeded("a"), succeeded("b")))
    assert status is not None
    assert status.output_uri == "file:///store/b"
    assert target.num_created == 1
    metadata = target.load().metadata
    assert metadata.name == "kfp-11112222"
    assert metadata.labels == {"mimo.dev/made-by": "kubeflow-pipelines"}
    assert metadata.annotations == {"mimo.dev/kfp-run": RUN}


def test_a_step_finds_what_another_step_of_its_run_has_made(target) -> None:
    target.show(succeeded("a"), succeeded("b"))
    assert World(target).play() is not None
    assert target.num_created == 0


def test_a_pipeline_of_somebody_else_is_refused_and_only_looked_at_when_told_to(target) -> None:
    target.pipeline = made_by(request(), labels={}, annotations={})
    with pytest.raises(ConfigError, match="exists and was not made by Kubeflow Pipelines; set `follow`"):
        World(target).play()
    target.show(succeeded("a"), succeeded("b"))
    assert World(target, follow=True).play() is not None
    assert target.load().metadata.annotations == {}


def test_a_pipeline_of_another_run_is_left_to_it(target) -> None:
    with pytest.raises(ConfigError, match="belongs to another run"):
        World(target, run_id="another", name="kfp-11112222").play()


def test_a_pipeline_to_follow_must_exist() -> None:
    with pytest.raises(ConfigError, match="no MimoPipeline 'kfp-11112222' to follow"):
        World(FakeKfpTarget(), follow=True).play()


def test_why_an_earlier_attempt_failed_is_told_also_by_a_step_that_comes_later(target) -> None:
    world = World(target)
    failure = LastFailure(attempt=1, reason="Killed", message="killed by SIGKILL", exit_code=137)
    target.show(succeeded("a"), running("b", attempt=2, last_failure=failure))
    world.play(lambda: target.show(succeeded("a"), succeeded("b", attempt=2, last_failure=failure)))
    assert "b: Running, attempt 2; attempt 1: Killed: killed by SIGKILL\n" in world.told
    assert "b: Succeeded, attempt 2; attempt 1: Killed: killed by SIGKILL\n" in world.told


def test_states_are_told_when_they_change_and_the_log_is_copied_once_while_it_grows(target) -> None:
    world = World(target)
    target.show(succeeded("a"), running("b"))
    target.texts["b", 1] = {"": "step 1\n"}

    def grow() -> None:
        target.texts["b", 1] = {"": "step 1\nstep 2\n"}

    world.play(grow, lambda: None, lambda: target.show(succeeded("a"), succeeded("b")))
    assert world.told == (
        "train/kfp-11112222/0123abcd: stage b\n"
        "b: Running, attempt 1\n"
        "==> b, attempt 1 <==\n"
        "step 1\n"
        "step 2\n"
        "b: Succeeded, attempt 1\n"
    )


def test_a_failed_stage_fails_its_step_with_the_reason_and_leaves_a_note_for_a_retry(target) -> None:
    target.show(succeeded("a"), FAILED)
    with pytest.raises(StageFailedError, match=r"b is Failed \(attempt 1\): OutOfMemory: killed at 2 GiB"):
        World(target).play()
    assert target.load().metadata.annotations == failure_told(1)
    assert target.load().spec.retry is None


def test_a_step_that_starts_again_asks_for_the_stage_it_failed_with_and_waits_until_that_is_taken_up(target) -> None:
    target.show(succeeded("a"), FAILED)
    target.annotate(failure_told(1))
    world = World(target)
    # Until the controller has handled the request, the old failure is no answer.
    status = world.play(
        lambda: None,
        lambda: target.handle_retry(succeeded("a"), running("b", 2)),
        lambda: target.show(succeeded("a"), done("b", 2)),
    )
    assert status is not None
    assert status.attempt == 2
    retry = target.load().spec.retry
    assert retry is not None
    assert retry.from_stage == "b"
    assert "asked for b to be run anew\n" in world.told


def test_a_failure_that_no_step_has_told_is_told_and_not_retried(target) -> None:
    target.show(succeeded("a"), FAILED.model_copy(update={"attempt": 2}))
    target.annotate(failure_told(1))
    with pytest.raises(StageFailedError):
        World(target).play()
    assert target.load().spec.retry is None


def test_a_second_failure_after_a_retry_fails_the_step_again(target) -> None:
    target.show(succeeded("a"), FAILED)
    target.annotate(failure_told(1))
    world = World(target)
    second = FAILED.model_copy(update={"attempt": 2})
    with pytest.raises(StageFailedError, match="attempt 2"):
        world.play(lambda: target.handle_retry(succeeded("a"), second))
    assert target.load().metadata.annotations == failure_told(2)


def test_the_open_request_of_another_step_is_waited_for_and_not_overwritten(target) -> None:
    target.edit(lambda found: found.spec.model_copy(update={"retry": RetryRequest(from_stage="a", nonce="of-a")}))
    target.show(FAILED.model_copy(update={"name": "a"}), FAILED)
    target.annotate(failure_told(1))

    def check_and_handle() -> None:
        assert target.load().spec.retry == RetryRequest(from_stage="a", nonce="of-a")
        # b follows a, so that its failure is gone as well.
        target.handle_retry()

    status = World(target).play(
        check_and_handle, lambda: target.show(succeeded("a"), done("b", 2), handled_retry_nonce="of-a")
    )
    assert status is not None
    assert target.load().spec.retry == RetryRequest(from_stage="a", nonce="of-a")


def test_a_step_that_died_after_asking_does_not_ask_twice(target) -> None:
    target.edit(lambda found: found.spec.model_copy(update={"retry": RetryRequest(from_stage="b", nonce="first")}))
    target.show(succeeded("a"), FAILED)
    target.annotate(failure_told(1))
    World(target).play(lambda: target.handle_retry(succeeded("a"), done("b", 2)))
    assert target.load().spec.retry == RetryRequest(from_stage="b", nonce="first")


def test_a_run_that_is_being_cancelled_cancels_the_pipeline_and_a_retry_takes_it_back(target) -> None:
    target.show(succeeded("a"), running("b"))
    world = World(target)
    world.is_cancelled = True
    with pytest.raises(StageFailedError, match="cancelled in Kubeflow Pipelines"):
        world.play()
    assert target.load().spec.cancel
    target.show(succeeded("a"), FAILED, phase=Phase.CANCELLED)
    World(target).play(lambda: target.handle_retry(succeeded("a"), done("b", 2)))
    assert not target.load().spec.cancel


def test_sigterm_alone_cancels_nothing(target) -> None:
    target.show(succeeded("a"), running("b"))
    world = World(target)
    world.step.stop.set()
    with pytest.raises(StepStoppedError, match="b goes on"):
        world.play()
    assert not target.load().spec.cancel
    assert naming.kubeflow_failure_annotation("b") not in target.load().metadata.annotations
    # It asked for as long as a pod has before it is killed, and no longer.
    assert 20 <= world.now_s < 30


def test_sigterm_of_a_run_that_is_being_cancelled_cancels(target) -> None:
    target.show(succeeded("a"), running("b"))
    world = World(target)
    world.step.stop.set()

    def cancel() -> None:
        world.is_cancelled = True

    with pytest.raises(StageFailedError, match="cancelled"):
        world.play(cancel)
    assert target.load().spec.cancel


def test_a_run_that_only_follows_cancels_nothing_and_retries_nothing(target) -> None:
    target.pipeline = made_by(request(), labels={}, annotations={naming.kubeflow_failure_annotation("b"): "1"})
    target.show(succeeded("a"), FAILED)
    with pytest.raises(StageFailedError):
        World(target, follow=True).play()
    assert target.load().spec.retry is None
    target.show(succeeded("a"), running("b"))
    world = World(target, follow=True)
    world.is_cancelled = True
    with pytest.raises(StepStoppedError, match="belongs to somebody else"):
        world.play()
    assert not target.load().spec.cancel


def test_the_deadline_ends_the_step_and_not_the_stage(target) -> None:
    target.show(succeeded("a"), running("b"))
    world = World(target)
    with pytest.raises(StepStoppedError, match="deadline_s: b did not end within 600 s; it goes on"):
        world.play()
    assert world.now_s == 600.0
    assert target.load().spec == chain()


def test_an_outage_of_the_api_server_ends_no_step(target) -> None:
    target.show(succeeded("a"), running("b"))
    world = World(target)
    target.is_away = True

    def away(is_away: bool) -> None:
        target.is_away = is_away

    status = world.play(
        lambda: away(False),
        lambda: away(True),
        lambda: away(False),
        lambda: target.show(succeeded("a"), succeeded("b")),
    )
    assert status is not None
    assert world.now_s == 20.0


def test_an_outage_while_the_run_is_cancelled_delays_the_cancellation(target) -> None:
    target.show(succeeded("a"), running("b"))
    world = World(target)
    world.is_cancelled = True
    world.step.stop.set()

    def fall() -> None:
        target.is_away = True

    def rise() -> None:
        target.is_away = False

    target.before_edit = fall
    with pytest.raises(StageFailedError, match="cancelled"):
        world.play(lambda: None, rise)
    assert target.load().spec.cancel
    assert world.now_s == 2.0


def test_a_stage_that_the_pipeline_does_not_have_is_done_at_once(target) -> None:
    world = World(target)
    world.step.stage = "morl"
    assert world.play() is None
    assert "morl is not a stage of this pipeline" in world.told


def test_a_skipped_stage_and_a_cancelled_pipeline_fail_the_step(target) -> None:
    skipped = StageStatus(name="b", state=StageState.SKIPPED, reason="UpstreamFailed", message="a failed")
    target.show(skipped)
    with pytest.raises(StageFailedError, match="b is Skipped: UpstreamFailed: a failed"):
        World(target).play()
    target.pipeline = mine()
    target.show(phase=Phase.CANCELLED)
    with pytest.raises(StageFailedError, match="b is Pending: the pipeline was cancelled"):
        World(target).play()


def test_a_pipeline_that_the_controller_refuses_fails_the_step_once_it_has_looked(target) -> None:
    def refuse(message: str) -> None:
        condition = Condition(
            type="Valid", status="False", reason="InvalidConfiguration", message=message, last_transition_time=NOW
        )
        target.show(conditions=(condition,))

    refuse("not composed yet")
    with pytest.raises(StageFailedError, match="refuses the pipeline: InvalidConfiguration: no field 'x'"):
        World(target).play(lambda: refuse("no field 'x'"))


def test_a_pipeline_that_was_made_anew_meanwhile_is_not_followed(target) -> None:
    target.show(succeeded("a"), running("b"))

    def replace() -> None:
        target.pipeline = made_by(request(), uid="another")

    with pytest.raises(ConfigError, match="deleted and made anew"):
        World(target).play(replace)


def test_a_person_is_told_what_a_stage_waits_for(target) -> None:
    world = World(target)
    target.show(succeeded("a"), StageStatus(name="b", state=StageState.AWAITING_APPROVAL, attempt=1))
    target.written_notes = ["SecretMissing=True: no secret mimo-store"]
    world.play(lambda: target.show(succeeded("a"), succeeded("b")))
    assert "b: AwaitingApproval, attempt 1 (waits for a person: mimo approve)\nSecretMissing=True" in world.told
