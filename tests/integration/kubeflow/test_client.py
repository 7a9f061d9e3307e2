"""Our calls of Kubeflow Pipelines' REST API are those of the published schema, with token, retries and clear errors."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from jobs.kfp_component import RunWatch
from operators.mimo_pipeline.kubeflow.client import KubeflowApiError, KubeflowClient, RunState
from tests.fakes.kfp_target import request
from tests.fakes.kubeflow_api import KubeflowApi, problems_of, routes

pytestmark = pytest.mark.integration


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def client(api: KubeflowApi, pauses: list[float]) -> KubeflowClient:
    return KubeflowClient(endpoint=f"{api.endpoint}/", sleep=pauses.append)


def test_the_schema_says_what_the_server_knows() -> None:
    known = {(route.method, route.pattern.pattern) for route in routes()}
    assert ("POST", re.escape("/apis/v2beta1/runs")) in known
    assert len(known) == 14
    assert problems_of("V2beta1Run", {"display_name": "x", "colour": "red"}) == [".colour: not in V2beta1Run"]
    assert problems_of("V2beta1Run", {"state": "GREEN"}) == [".state: 'GREEN' is no V2beta1RuntimeState"]
    assert problems_of("V2beta1Run", {"runtime_config": {"parameters": {"a": 1}}}) == []


def test_an_experiment_is_made_once_and_found_again(api, client) -> None:
    first = client.experiment_id("mimo-vl", "team")
    assert client.experiment_id("mimo-vl", "team") == first
    assert api.experiments == {first: {"experiment_id": first, "display_name": "mimo-vl", "namespace": "team"}}


def test_a_run_is_created_found_by_its_name_and_terminated(api, client) -> None:
    experiment = client.experiment_id("mimo-vl")
    assert client.find_run(experiment, "train/demo/0123abcd") is None
    body = {"experiment_id": experiment, "display_name": "train/demo/0123abcd", "pipeline_spec": {"root": {}}}
    created = client.create_run(body)
    assert client.find_run(experiment, "train/demo/0123abcd") == created
    assert client.run(created.run_id).state == RunState.PENDING
    client.terminate_run(created.run_id)
    assert client.run(created.run_id).state == RunState.CANCELING


def test_a_server_that_is_unwell_is_asked_again_with_growing_pauses(api, client, pauses) -> None:
    api.failures = [503, 429, 500]
    assert client.experiment_id("mimo-vl") == "experiment-1"
    assert pauses == [0.5, 1.0, 2.0]


def test_after_the_last_try_the_error_says_what_the_server_said(api, client, pauses) -> None:
    api.failures = [503] * 4
    with pytest.raises(KubeflowApiError, match=r"503: GET /runs/r: the server is unwell"):
        client.run("r")
    assert len(pauses) == 3


def test_what_the_server_refuses_is_not_asked_again(client, pauses) -> None:
    with pytest.raises(KubeflowApiError, match="404") as caught:
        client.run("missing")
    assert caught.value.is_not_found
    assert pauses == []


def test_a_run_is_not_created_twice_when_the_answer_is_lost(api, client) -> None:
    experiment = client.experiment_id("mimo-vl")
    api.loses_answers = True
    with pytest.raises(KubeflowApiError, match="no answer"):
        client.create_run({"experiment_id": experiment, "display_name": "x"})
    api.loses_answers = False
    assert len(api.runs) == 1
    assert client.find_run(experiment, "x") is not None


def test_a_server_that_is_away_is_named(pauses) -> None:
    client = KubeflowClient(endpoint="http://127.0.0.1:9", sleep=pauses.append, tries=1)
    with pytest.raises(KubeflowApiError, match=r"no answer: GET /runs/r: .*refused"):
        client.run("r")


def test_the_token_is_read_for_every_call(api, client, tmp_path: Path) -> None:
    api.token = "second"
    client.token_file = tmp_path / "token"
    with pytest.raises(KubeflowApiError, match="no token in"):
        client.experiment_id("mimo-vl")
    client.token_file.write_text("first\n")
    with pytest.raises(KubeflowApiError, match="401"):
        client.experiment_id("mimo-vl")
    client.token_file.write_text("second\n")
    assert client.experiment_id("mimo-vl") == "experiment-1"


@pytest.mark.parametrize(
    ("state", "expected"),
    [("RUNNING", False), ("CANCELING", True), ("CANCELED", True), ("FAILED", False), ("A_LATER_STATE", False)],
)
def test_a_step_learns_that_its_run_is_cancelled_from_the_api_alone(api, state, expected) -> None:
    run_id = request().run_id
    api.runs[run_id] = {"run_id": run_id, "state": state}
    assert RunWatch(request(kfp_endpoint=api.endpoint)).is_cancelled() is expected


def test_no_answer_is_no_cancellation(api) -> None:
    assert RunWatch(request(kfp_endpoint=api.endpoint)).is_cancelled() is False
    assert RunWatch(request()).is_cancelled() is False
