"""How long processes of a stage have run: what its GPUs are billed for."""

from __future__ import annotations

from datetime import timedelta

from operators.mimo_pipeline.api import (
    Approval,
    MimoPipelineSpec,
    MimoPipelineStatus,
    RetryRequest,
    StageState,
    StageStatus,
)
from operators.mimo_pipeline.plan import LeafPhase, StageObservation
from operators.mimo_pipeline.retry import reopen
from tests.fakes.pipelines import NOW, alive, chain, gone, later, output, plan_for, running, started, with_stage


class Rounds:
    """Rounds of a controller that keeps nothing but the status."""

    def __init__(self, spec: MimoPipelineSpec | None = None) -> None:
        self.spec = spec or chain()
        self.status: MimoPipelineStatus = started(self.spec, running("a"))

    def look(self, at_s: float, *seen: StageObservation) -> StageStatus:
        plan = plan_for(self.spec, self.status, *seen, now=later(at_s))
        self.status = plan.status or self.status
        return self.status.stage("a")


def test_time_runs_from_the_first_pod_that_runs_not_from_the_job() -> None:
    rounds = Rounds()
    for at_s, phase in ((0, LeafPhase.QUEUED), (100, LeafPhase.STARTING)):
        assert rounds.look(at_s, alive("a", phase=phase)).running_since is None
    assert rounds.look(300, alive("a")).running_since == later(300)
    # Nothing is written while it goes on.
    assert plan_for(rounds.spec, rounds.status, alive("a"), now=later(400)).status is None
    ended = rounds.look(500, gone("a", output=output("a")))
    assert (ended.running_seconds, ended.running_since) == (200.0, None)


def test_time_in_which_it_is_suspended_does_not_count() -> None:
    rounds = Rounds()
    rounds.look(0, alive("a"))
    rounds.spec = rounds.spec.model_copy(update={"suspend": True})
    # It is saving.
    assert rounds.look(50, alive("a")).running_since == NOW
    assert rounds.look(60, gone("a", exit_code=75)).state == StageState.SUSPENDED
    rounds.spec = rounds.spec.model_copy(update={"suspend": False})
    assert rounds.look(1000, gone("a", exit_code=75)).state == StageState.RUNNING
    rounds.look(1010, gone("a", exit_code=75), alive("a", 2))
    assert rounds.look(1050, gone("a", 2, output=output("a"))).running_seconds == 60 + 40


def test_the_time_of_attempts_adds_up_and_that_between_them_does_not_count() -> None:
    rounds = Rounds()
    rounds.look(0, alive("a"))
    assert rounds.look(30, gone("a", exit_code=1)).state == StageState.RETRYING
    rounds.look(100, gone("a", exit_code=1))
    rounds.look(101, gone("a", exit_code=1), alive("a", 2))
    assert rounds.look(121, gone("a", exit_code=1), gone("a", 2, exit_code=1)).running_seconds == 30 + 20


def test_time_in_which_it_waits_for_a_person_does_not_count() -> None:
    rounds = Rounds(with_stage(chain(), "a", approval=Approval.MANUAL))
    rounds.look(0, alive("a"))
    assert rounds.look(10, gone("a", output=output("a"))).state == StageState.AWAITING_APPROVAL
    assert rounds.look(500, gone("a", output=output("a"))).running_seconds == 10


def test_a_request_to_run_it_anew_forgets_no_time_that_was_used() -> None:
    rounds = Rounds()
    rounds.look(0, alive("a"))
    rounds.look(10, gone("a", output=output("a")))
    retry = RetryRequest(from_stage="a", nonce="1")
    rounds.spec = rounds.spec.model_copy(update={"retry": retry})
    assert rounds.look(20, gone("a", output=output("a"))).running_seconds == 10
    # It ended unseen, and the request came first.
    rounds = Rounds()
    rounds.look(0, alive("a"))
    rounds.spec = rounds.spec.model_copy(update={"retry": retry})
    assert rounds.look(25, gone("a", exit_code=1)).running_seconds == 25


def test_going_on_after_a_failed_run_forgets_no_time_that_was_used() -> None:
    failed = StageStatus(name="a", state=StageState.FAILED, attempt=1, running_seconds=7.0)
    assert reopen(started(chain(), failed)).stage("a").running_seconds == 7.0


def test_an_earlier_output_takes_no_time() -> None:
    spec = chain()
    key = plan_for(spec, started(spec), now=NOW + timedelta(seconds=1)).create[0].key
    plan = plan_for(spec, started(spec), index={key: output("a", key)})
    assert plan.status is not None
    stage = plan.status.stage("a")
    assert (stage.reused, stage.running_seconds, stage.running_since) == (True, 0.0, None)
