"""The address of a run in MLflow: given, forwarded, or that of a server of this machine."""

from __future__ import annotations

import json

import pytest

from jobs.cli_mlflow import show
from jobs.cli_output import Format
from jobs.cli_target import ClusterTarget
from jobs.cli_target_local import LocalTarget
from mimo_vl.errors import ConfigError, InputError
from mimo_vl.storage.local import LocalStore
from operators.mimo_pipeline.api import StageState, StageStatus
from operators.mimo_pipeline.local import tracking_server
from operators.mimo_pipeline.local.state import Metadata, PipelineObject, RunFolder
from operators.mimo_pipeline.local.tracking_server import TrackingServer
from tests.fakes.pipeline_client import FakePipelineClient, cluster_object
from tests.fakes.pipelines import chain, started

_PAGE = "http://mimo-mlflow.mlops.svc:5000/#/experiments/1/runs/abc"


@pytest.fixture
def client(monkeypatch) -> FakePipelineClient:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    made = FakePipelineClient(cluster_object(chain(), started(chain())))
    made.objects["demo"]["status"]["mlflow"] = _PAGE
    return made


def _address(client: FakePipelineClient) -> str:
    target = ClusterTarget(client, "demo")
    with target.open_tracking(target.load()) as address:
        return address


def test_a_server_in_the_cluster_is_reached_through_a_forwarded_port_at_the_page_of_the_run(client) -> None:
    assert _address(client) == "http://127.0.0.1:40000/#/experiments/1/runs/abc"
    assert client.forwarded == [("mimo-mlflow", "mlops", 5000)]


def test_a_server_outside_is_reached_as_it_is(client) -> None:
    client.objects["demo"]["status"]["mlflow"] = "https://mlflow.example.org/#/experiments/1"
    assert _address(client) == "https://mlflow.example.org/#/experiments/1"
    assert client.forwarded == []


def test_before_the_run_has_a_page_the_server_itself_is_shown(client) -> None:
    client.objects["demo"]["status"]["mlflow"] = ""
    runtime = {"config": {"tracking": {"uri": "http://mimo-mlflow.mlops.svc:5000"}}}
    client.objects["demo"]["status"]["runtime"] = runtime
    assert _address(client) == "http://127.0.0.1:40000"


def test_without_a_server_the_report_is_the_other_way(client) -> None:
    client.objects["demo"]["status"]["mlflow"] = ""
    with pytest.raises(InputError, match=r"no MLflow server.*mimo report demo"):
        _address(client)


def test_a_refusal_names_the_report_too(client, monkeypatch) -> None:
    def forward(*_):
        raise ConfigError("the cluster refuses to forward a port")

    monkeypatch.setattr(client, "forward", forward)
    with pytest.raises(
        ConfigError, match=r"port of mimo-mlflow\.mlops\.svc:5000: the cluster refuses.*mimo report demo"
    ):
        _address(client)


@pytest.mark.parametrize("made_by", ["local/demo/01234567", "local/demo/89abcdef"])
def test_on_this_machine_the_page_is_that_of_the_run_that_made_the_outputs(tmp_path, monkeypatch, made_by) -> None:
    """The run itself, or an earlier one where everything was reused."""
    folder = RunFolder(tmp_path / "demo")
    is_reused = made_by != "local/demo/01234567"
    output = f"{folder.path.as_uri()}/store/runs/{made_by}/a/attempt-1"
    status = started(chain()).model_copy(
        update={"stages": (StageStatus(name="a", state=StageState.SUCCEEDED, output_uri=output, reused=is_reused),)}
    )
    folder.create(PipelineObject(metadata=Metadata(name="demo", uid="01234567-0000"), spec=chain(), status=status))
    record = {"uri": "http://127.0.0.1:1", "experiment_id": "5", "run_id": "abc"}
    LocalStore(folder.store_path).put_bytes(f"runs/{made_by}/tracking.json", json.dumps(record).encode())
    monkeypatch.setattr(TrackingServer, "uri", lambda _: "http://127.0.0.1:27000")
    monkeypatch.setattr(tracking_server, "wait_until_it_answers", lambda _: None)
    target = LocalTarget(folder.path)
    with target.open_tracking(target.load()) as address:
        assert address == "http://127.0.0.1:27000/#/experiments/5/runs/abc"


def test_the_address_is_shown_until_ctrl_c(capsys: pytest.CaptureFixture[str]) -> None:
    def wait() -> None:
        raise KeyboardInterrupt

    show("http://127.0.0.1:1", Format.JSON, wait=wait)
    assert json.loads(capsys.readouterr().out) == {"address": "http://127.0.0.1:1"}
