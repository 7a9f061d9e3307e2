"""The commands on a run of a cluster: its records in an S3 server behind a forwarded port, its keys in a Secret."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from minio import Minio
from typer.testing import CliRunner

from jobs.cli import app
from mimo_vl.config.storage import StorageConfig
from mimo_vl.errors import ConfigError, DigestMismatchError
from mimo_vl.storage import Credentials, store_for_uri
from operators.mimo_pipeline.api import StageState, StageStatus
from operators.mimo_pipeline.kubernetes import api_client
from tests.fakes.pipeline_client import FakePipelineClient, cluster_object
from tests.fakes.pipelines import NOW, chain, started
from tests.fakes.run_store import RunStore
from tests.fakes.s3_server import KEY, SECRET, serve_s3

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

_SETTINGS = "store: {secret: mimo-store}\n"
_LOSSES = [(1, {"loss": 2.0}), (2, {"loss": 1.0})]


class _Client(FakePipelineClient):
    """Its cluster has the S3 server behind a Service."""

    s3_port = 0

    @contextmanager
    def forward(self, service: str, namespace: str, port: int) -> Iterator[int]:
        assert (service, namespace, port) == ("mimo-minio", "mlops", 9000)
        yield self.s3_port


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, RunStore]]:
    """Address of the server, and a run in it: the first attempt of b failed."""
    with serve_s3(tmp_path_factory.mktemp("s3") / "server.log") as endpoint:
        Minio(endpoint=endpoint, access_key=KEY, secret_key=SECRET, secure=False, region="us-east-1").make_bucket(
            bucket_name="mimo"
        )
        config = StorageConfig(kind="s3", endpoint=endpoint, secure=False, timeout_s=10.0)
        store = store_for_uri("s3://mimo/team", config, Credentials(access_key=KEY, secret_key=SECRET))
        run = RunStore(store, "train/demo/0123abcd")
        first = run.succeeded("a", files={"model/weights.bin": b"weights"}, log="log of a\n")
        run.failed("b", 1, message="out of disk", metrics=_LOSSES, log="log of b, first\n")
        run.succeeded("b", 2, inputs={"a": first}, metrics=_LOSSES, log="log of b, second\n")
        yield endpoint, run


@pytest.fixture
def client(s3: tuple[str, RunStore], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> _Client:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    endpoint, run = s3
    done = {"state": StageState.SUCCEEDED, "started_at": NOW, "finished_at": NOW}
    stages = [
        StageStatus(
            name=name, attempt=number, output_uri=run.store.uri(f"runs/{run.run_id}/{name}/attempt-{number}"), **done
        )
        for name, number in (("a", 1), ("b", 2))
    ]
    made = _Client(cluster_object(chain(), started(chain(), *stages)))
    storage = {"kind": "s3", "uri": "s3://mimo/team", "endpoint": "mimo-minio.mlops.svc:9000", "secure": False}
    made.objects["demo"]["status"]["runtime"] = {"config": {"storage": storage}}
    made.operator_settings, made.secrets = (
        _SETTINGS,
        {"mimo-store": {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}},
    )
    made.s3_port = int(endpoint.rpartition(":")[2])
    monkeypatch.setattr(api_client, "connect", lambda **_: made)
    monkeypatch.chdir(tmp_path)
    return made


def _call(*arguments: str) -> str:
    result = CliRunner().invoke(app, [*arguments, "-n", "train"], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def _json(*arguments: str):
    return json.loads(_call(*arguments, "--output", "json"))


def test_the_report_of_a_cluster_run_is_the_same_page(client: _Client) -> None:
    found = _json("report", "demo")
    assert found["report"].endswith("train-demo-report.html")
    b = found["stages"][1]
    assert [(a["state"], a["message"]) for a in b["attempts"]] == [("Failed", "out of disk"), ("Succeeded", "")]
    page = Path("train-demo-report.html").read_text()
    assert 'href="s3://mimo/team/runs/train/demo/0123abcd/b/attempt-2"' in page
    assert "Loss" in page
    assert SECRET not in page


def test_logs_of_pods_that_are_gone_need_no_key_of_the_user(client: _Client) -> None:
    assert _call("logs", "b", "--pipeline", "demo") == "==> node 0 <==\nlog of b, second\n"
    assert _call("logs", "b", "--pipeline", "demo", "--attempt", "1", "-f") == "==> node 0 <==\nlog of b, first\n"


def test_outputs_are_fetched_and_checked(client: _Client, s3: tuple[str, RunStore]) -> None:
    assert {a["problem"] for a in _json("artifacts", "verify", "demo")} == {""}
    assert _json("artifacts", "get", "a", "demo")["files"] == ["model/weights.bin"]
    assert Path("a/model/weights.bin").read_bytes() == b"weights"
    store = s3[1].store
    key = "runs/train/demo/0123abcd/a/attempt-1/output/model/weights.bin"
    store.put_bytes(key, b"Weights")
    try:
        with pytest.raises(DigestMismatchError, match=r"a: copy of a: file model/weights\.bin has sha256"):
            _call("artifacts", "verify", "demo")
    finally:
        store.put_bytes(key, b"weights")


def test_lineage_and_comparison_read_the_same_store(client: _Client) -> None:
    artifacts = {a["name"]: a for a in _json("lineage", "demo")["artifacts"]}
    assert artifacts["b"]["inputs"]["a"]["digest"] == artifacts["a"]["digest"]
    assert [len(run["stages"][1]["attempts"]) for run in _json("compare", "demo", "demo")["runs"]] == [2, 2]


def test_runs_of_the_namespace_are_listed_and_a_wrong_name_is_answered_with_the_near_one(client: _Client) -> None:
    (row,) = _json("runs")
    assert (row["run"], row["progress"], row["where"]) == ("train/demo/0123abcd", "2/3", "--pipeline demo -n train")
    with pytest.raises(Exception, match=r"no dmo in namespace train.*Did you mean demo\?"):
        _call("report", "dmo")


def test_without_the_right_to_read_the_secret_the_refusal_is_told(client: _Client) -> None:
    client.secrets = {}
    with pytest.raises(ConfigError, match=r'secrets "mimo-store" is forbidden.*ask for a Role.*AWS_ACCESS_KEY_ID'):
        _call("report", "demo")
