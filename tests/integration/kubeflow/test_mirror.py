"""The operator shows a pipeline in Kubeflow Pipelines as one run, whatever fails in between, and harms no pipeline."""

from __future__ import annotations

from typing import Any

import pytest

from operators.mimo_pipeline.api import MimoPipelineSpec, MimoPipelineStatus, Phase, StageSpec, StageState, StageStatus
from operators.mimo_pipeline.cluster_settings import KubeflowSettings
from operators.mimo_pipeline.kubeflow.client import KubeflowClient
from operators.mimo_pipeline.kubeflow.mirror import KubeflowMirror, Mirrored
from tests.fakes.kubeflow_api import KubeflowApi
from tests.fakes.pipelines import NOW

pytestmark = pytest.mark.integration
_SPEC = MimoPipelineSpec(
    profile="tiny", stages=(StageSpec(name="base"), StageSpec(name="curate", depends_on=("base",)))
)


class World:
    def __init__(self, api: KubeflowApi) -> None:
        self.api = api
        self.now_s = 1000.0
        self.restart()

    def restart(self) -> None:
        """A new operator: nothing in memory is left."""
        settings = KubeflowSettings(
            endpoint=self.api.endpoint, image="registry/mimo-kfp:1", namespace="team", service_account="steps"
        )
        client = KubeflowClient(endpoint=settings.endpoint, tries=1)
        self.mirror = KubeflowMirror(settings=settings, client=client, clock=lambda: self.now_s)

    def look(self, *, run: str = "", phase: Phase = Phase.RUNNING, **more: Any) -> tuple[str, str]:
        """`base`: state of that stage."""
        stages = (StageStatus(name="base", state=more.pop("base", StageState.RUNNING)),)
        status = MimoPipelineStatus(phase=phase, started_at=NOW, kubeflow_run=run, stages=stages)
        return self.mirror.look(_pipeline(status, **more))

    def look_for_long(self, **how: Any) -> tuple[str, str]:
        """As the controller does it, every 10 s for two minutes; the last answer."""
        for _ in range(12):
            self.now_s += 10
            answer = self.look(**how)
            how["run"] = answer[0]
        return answer


def _pipeline(status: MimoPipelineStatus, *, is_cancelled: bool = False, **more: Any) -> Mirrored:
    spec = _SPEC.model_copy(update={"cancel": is_cancelled})
    own: dict[str, Any] = {"namespace": "train", "name": "demo", "run_id": "train/demo/0123abcd", "labels": {}}
    return Mirrored(**{**own, **more}, spec=spec, status=status)


@pytest.fixture
def world(api: KubeflowApi) -> World:
    return World(api)


def test_a_pipeline_is_shown_as_a_run_whose_steps_follow_its_stages(world, api) -> None:
    assert world.look() == ("run-1", "")
    run = api.runs["run-1"]
    assert run["display_name"] == "train/demo/0123abcd"
    assert run["service_account"] == "steps"
    assert run["runtime_config"]["parameters"] == {
        "profile": "tiny",
        "name": "demo",
        "namespace": "train",
        "follow": True,
        "kfp_endpoint": api.endpoint,
        "deadline_s": 315_360_000.0,
    }
    tasks = run["pipeline_spec"]["root"]["dag"]["tasks"]
    assert sorted(t["taskInfo"]["name"] for t in tasks.values()) == ["base", "curate", "make-pipeline"]
    assert api.experiments["experiment-1"]["display_name"] == "mimo-vl"
    assert api.experiments["experiment-1"]["namespace"] == "team"


def test_a_pipeline_that_is_shown_costs_two_calls_a_minute(world, api) -> None:
    run, _ = world.look()
    num_calls = len(api.calls)
    assert world.look_for_long(run=run) == (run, "")
    assert len(api.calls) - num_calls == 4
    num_calls = len(api.calls)
    assert world.look_for_long(run=run, phase=Phase.SUCCEEDED) == (run, "")
    assert len(api.calls) == num_calls


@pytest.mark.parametrize("state", ["FAILED", "CANCELED"])
def test_a_run_that_ended_goes_on_with_a_pipeline_that_was_retried(world, api, state) -> None:
    run, _ = world.look()
    api.runs[run]["state"] = state
    # It failed and is over: so is its run.
    assert world.look_for_long(run=run, phase=Phase.FAILED, base=StageState.FAILED) == (run, "")
    assert api.runs[run]["state"] == state
    world.restart()
    assert world.look_for_long(run=run, base=StageState.PENDING) == (run, "")
    assert api.runs[run]["state"] == "RUNNING"
    assert api.calls.count("run_service_retry_run") == 1


def test_a_cancelled_run_goes_on_and_can_be_ended_again(world, api) -> None:
    run, _ = world.look()
    world.look(run=run, phase=Phase.CANCELLED)
    api.runs[run]["state"] = "CANCELED"
    world.look_for_long(run=run)
    assert api.runs[run]["state"] == "RUNNING"
    world.look(run=run, phase=Phase.CANCELLED)
    assert api.runs[run]["state"] == "CANCELING"


@pytest.mark.parametrize(
    "how",
    [
        # The other stages, or finalize, still run.
        {"base": StageState.FAILED},
        # Terminated in Kubeflow Pipelines: the stage saves its checkpoint.
        {"is_cancelled": True},
    ],
)
def test_a_run_that_ended_rightly_is_left_alone(world, api, how) -> None:
    run, _ = world.look()
    api.runs[run]["state"] = "FAILED"
    assert world.look_for_long(run=run, **how) == (run, "")
    assert api.runs[run]["state"] == "FAILED"


def test_a_run_that_is_just_being_terminated_is_not_taken_back(world, api) -> None:
    """Its step has not yet cancelled the pipeline."""
    run, _ = world.look()
    world.look(run=run)
    api.runs[run]["state"] = "CANCELED"
    world.now_s += 31
    world.look(run=run)
    assert api.runs[run]["state"] == "CANCELED"
    world.look_for_long(run=run, is_cancelled=True)
    assert api.runs[run]["state"] == "CANCELED"


def test_a_pipeline_that_goes_on_after_its_success_gets_another_run(world, api) -> None:
    """A run that succeeded cannot be retried."""
    run, _ = world.look()
    api.runs[run]["state"] = "SUCCEEDED"
    assert world.look_for_long(run=run) == ("run-2", "")
    assert list(api.runs) == ["run-1", "run-2"]
    assert world.look_for_long(run="run-2") == ("run-2", "")
    assert len(api.runs) == 2


def test_a_run_that_somebody_deleted_stays_deleted(world, api) -> None:
    assert world.look_for_long(run="deleted") == ("deleted", "")
    assert api.runs == {}


def test_a_pipeline_that_ended_while_the_server_was_away_is_shown_all_the_same(world, api) -> None:
    api.failures = [503]
    assert "503" in world.look()[1]
    # The condition in the status tells the next operator.
    world.restart()
    assert world.look(phase=Phase.SUCCEEDED, is_owed=True) == ("run-1", "")
    assert world.look_for_long(run="run-1", phase=Phase.SUCCEEDED) == ("run-1", "")
    assert len(api.runs) == 1


def test_a_pipeline_made_by_kubeflow_pipelines_has_no_mirror(world, api) -> None:
    labels: dict[str, Any] = {"mimo.dev/made-by": "kubeflow-pipelines"}
    assert world.mirror.look(_pipeline(MimoPipelineStatus(started_at=NOW), labels=labels)) == ("", "")
    assert api.calls == []


@pytest.mark.parametrize("phase", [Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED])
def test_what_ended_before_it_was_shown_is_not_shown(world, api, phase) -> None:
    assert world.look(phase=phase) == ("", "")
    assert world.mirror.look(_pipeline(MimoPipelineStatus())) == ("", "")
    assert api.calls == []


def test_an_operator_that_died_after_creating_the_run_finds_it_again(world, api) -> None:
    run, _ = world.look()
    world.restart()
    assert world.look() == (run, "")
    assert len(api.runs) == 1


def test_a_lost_answer_is_a_condition_and_no_second_run(world, api) -> None:
    api.experiments["experiment-1"] = {"experiment_id": "experiment-1", "display_name": "mimo-vl"}
    world.mirror._experiment_id = "experiment-1"
    # Looking for it works, creating it loses the answer.
    before = api.answer

    def answer(method, *rest):
        api.loses_answers = method == "POST"
        return before(method, *rest)

    api.answer = answer
    run, trouble = world.look()
    assert run == ""
    assert "no answer: POST /runs" in trouble
    api.answer = before
    api.loses_answers = False
    world.now_s += 31
    assert world.look() == ("run-1", "")
    assert len(api.runs) == 1


def test_a_server_that_is_away_is_asked_again_after_growing_pauses_and_told_as_long(world, api) -> None:
    api.failures = [503, 503]
    assert "503" in world.look()[1]
    num_calls = len(api.calls)
    world.now_s += 29
    assert "503" in world.look()[1]
    assert len(api.calls) == num_calls
    world.now_s += 2
    assert "503" in world.look()[1]
    world.now_s += 59
    assert "503" in world.look()[1]
    world.now_s += 2
    assert world.look() == ("run-1", "")


def test_a_cancelled_pipeline_ends_its_run_once(world, api) -> None:
    run, _ = world.look()
    api.runs[run]["state"] = "RUNNING"
    assert world.look(run=run, phase=Phase.CANCELLED) == (run, "")
    assert api.runs[run]["state"] == "CANCELING"
    num_calls = len(api.calls)
    world.look(run=run, phase=Phase.CANCELLED)
    assert len(api.calls) == num_calls


def test_a_run_that_ended_by_itself_and_one_that_was_deleted_are_left_alone(world, api) -> None:
    run, _ = world.look()
    api.runs[run]["state"] = "FAILED"
    assert world.look(run=run, phase=Phase.CANCELLED) == (run, "")
    assert api.runs[run]["state"] == "FAILED"
    assert world.look(run="deleted", phase=Phase.CANCELLED) == ("deleted", "")


def test_a_deleted_pipeline_ends_its_run(world, api) -> None:
    run, _ = world.look()
    world.mirror.forget("train", "demo")
    assert api.runs[run]["state"] == "CANCELING"
    world.mirror.forget("train", "another")
    # A server that is away keeps nobody from deleting a pipeline.
    world.look(run=run)
    api.failures = [503]
    world.mirror.forget("train", "demo")
