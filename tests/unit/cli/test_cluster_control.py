"""The steering commands on a cluster: what they patch, what they show, and what they say when they cannot."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from jobs.cli import app
from mimo_vl.errors import ConfigError, InputError, StorageError
from mimo_vl.storage.local import LocalStore
from operators.mimo_pipeline.api import PytorchWorkload, StageState, StageStatus
from operators.mimo_pipeline.cluster_control import control_patch
from operators.mimo_pipeline.kubernetes import api_client
from operators.mimo_pipeline.kubernetes.api_client import ChangedMeanwhileError
from tests.fakes.pipeline_client import FakePipelineClient, cluster_object, pod
from tests.fakes.pipelines import chain, running, started, succeeded, with_stage


@pytest.fixture
def client(monkeypatch):
    """A pipeline whose b waits for approval; the commands connect to it."""
    waiting = StageStatus(name="b", state=StageState.AWAITING_APPROVAL, attempt=2, key="sha256:kb")
    made = FakePipelineClient(cluster_object(chain(), started(chain(), succeeded("a"), waiting)))
    monkeypatch.setattr(api_client, "connect", lambda **_: made)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    return made


def _call(*arguments: str) -> str:
    result = CliRunner().invoke(app, [*arguments, "--pipeline", "demo", "-n", "train"], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def _spec(client) -> dict:
    return client.objects["demo"]["spec"]


def test_suspend_resume_and_cancel_patch_the_controls_and_nothing_else(client) -> None:
    before = dict(_spec(client))
    assert "the operator acts on it" in _call("suspend")
    assert _spec(client) == {**before, "suspend": True}
    _call("resume")
    assert _spec(client) == before
    _call("cancel")
    assert _spec(client) == {**before, "cancel": True}


def test_a_control_that_is_already_set_sends_no_patch(client) -> None:
    _call("resume")
    assert client.num_patches == 0


def test_an_approval_is_bound_to_the_key_of_the_output(client) -> None:
    _call("approve", "b")
    assert _spec(client)["approvals"] == [{"stage": "b", "key": "sha256:kb"}]


def test_a_write_in_between_is_read_again_and_kept(client) -> None:
    def other() -> None:
        client.objects["demo"]["spec"]["approvals"] = [{"stage": "a", "key": "sha256:ka"}]
        client.touch("demo")

    client.before_patch = other
    _call("approve", "b")
    assert _spec(client)["approvals"] == [{"stage": "a", "key": "sha256:ka"}, {"stage": "b", "key": "sha256:kb"}]
    assert client.num_patches == 2


def test_an_object_that_changes_for_ever_is_given_up(client) -> None:
    def patch(name, operations):
        raise ChangedMeanwhileError("the test does not hold")

    client.patch = patch
    with pytest.raises(ChangedMeanwhileError):
        _call("suspend")


def test_retry_names_the_stage_with_a_new_nonce_and_takes_a_cancel_back(client) -> None:
    _call("cancel")
    _call("retry", "--from", "a")
    first = _spec(client)["retry"]
    _call("retry", "--from", "a")
    assert first["from"] == "a"
    assert _spec(client)["retry"]["nonce"] != first["nonce"]
    assert _spec(client)["cancel"] is False


def test_a_control_is_removed_when_it_has_no_value_any_more() -> None:
    spec = chain(ttl_seconds_after_finished=5)
    operations = control_patch(spec, chain(), "7")
    assert operations == [
        {"op": "test", "path": "/metadata/resourceVersion", "value": "7"},
        {"op": "remove", "path": "/spec/ttlSecondsAfterFinished"},
    ]


def test_status_shows_the_stages_and_what_is_wrong(client) -> None:
    condition = {
        "type": "SecretMissing",
        "status": "True",
        "reason": "SecretMissing",
        "message": "no secret mimo-store",
    }
    invalid = {"type": "Valid", "status": "False", "reason": "InvalidSpec", "message": "no stage 'x'"}
    fine = {"type": "Running", "status": "True", "reason": "Running"}
    common = {"lastTransitionTime": "2026-01-01T12:00:00Z"}
    client.objects["demo"]["status"]["conditions"] = [{**c, **common} for c in (condition, invalid, fine)]
    client.objects["demo"]["status"]["mlflow"] = "http://mlflow/#/runs/1"
    text = _call("status")
    assert "train/demo/0123abcd" in text
    assert "AwaitingApproval" in text
    assert "SecretMissing=True: SecretMissing: no secret mimo-store\n" in text
    assert "Valid=False: InvalidSpec: no stage 'x'\n" in text
    assert "Running=True" not in text
    assert "MLflow: http://mlflow/#/runs/1" in text


def test_logs_are_those_of_the_latest_attempt_of_all_pods_in_the_order_of_nodes(client) -> None:
    client.listed_pods = [_worker("demo-b-2-worker-0", "0"), _master()]
    client.logs = {"demo-b-2-master-0": "rank 0\n", "demo-b-2-worker-0": "rank [1]\n"}
    text = _call("logs", "b")
    assert client.selectors == ["mimo.dev/attempt=2,mimo.dev/pipeline=demo,mimo.dev/stage=b"]
    assert text == "==> demo-b-2-master-0 <==\nrank 0\n==> demo-b-2-worker-0 <==\nrank [1]\n"


def test_one_rank_is_the_log_of_its_node_alone(client) -> None:
    spec = with_stage(chain(), "b", pytorch=PytorchWorkload(num_nodes=2, num_procs_per_node=8))
    client.objects["demo"]["spec"] = spec.to_values()
    client.listed_pods = [_master(), _worker("demo-b-2-worker-0", "0")]
    client.logs = {"demo-b-2-master-0": "ranks 0 to 7\n", "demo-b-2-worker-0": "ranks 8 to 15\n"}
    assert _call("logs", "b", "--rank", "7") == "ranks 0 to 7\n"
    assert _call("logs", "b", "--rank", "8", "--attempt", "1") == "ranks 8 to 15\n"
    with pytest.raises(ConfigError, match="--rank: got 16, stage b has ranks 0 to 15"):
        _call("logs", "b", "--rank", "16")


def test_a_stage_without_ranks_has_no_log_of_a_rank(client) -> None:
    client.listed_pods = [pod("demo-b-2")]
    with pytest.raises(ConfigError, match="stage b has no ranks"):
        _call("logs", "b", "--rank", "0")


def test_pods_that_are_gone_name_the_place_where_the_records_are(client) -> None:
    where = "<store of the operator>/runs/train/demo/0123abcd/b/attempt-2"
    with pytest.raises(InputError, match=f"its pods are gone.*stay in {where} .*no operator's settings"):
        _call("logs", "b")


@pytest.fixture
def shipped(client, monkeypatch, tmp_path) -> LocalStore:
    """The store of the pipeline, with logs of two nodes; credentials are at hand."""
    config = {"storage": {"uri": "s3://mimo", "endpoint": "minio:9000", "region": "us-east-1", "secure": False}}
    client.objects["demo"]["status"]["runtime"] = {"config": config}
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "reader")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "reader-secret")
    store = LocalStore(tmp_path)
    for node in (0, 1, 10):
        store.put_bytes(f"logs/node-{node}.log", f"log of {node}\n".encode())

    def open_store(uri, storage, credentials):
        assert uri == "s3://mimo/runs/train/demo/0123abcd/b/attempt-2"
        opened.append((storage.endpoint, storage.secure, storage.outage_timeout_s))
        return store

    opened: list[tuple[str, bool, float]] = []
    store.opened = opened
    monkeypatch.setattr("jobs.shipped_logs.store_for_uri", open_store)
    return store


def test_logs_of_pods_that_are_gone_come_from_the_store(client, shipped, monkeypatch) -> None:
    text = _call("logs", "b")
    assert text == "==> node 0 <==\nlog of 0\n==> node 1 <==\nlog of 1\n==> node 10 <==\nlog of 10\n"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9000")
    _call("logs", "b")
    assert shipped.opened == [("minio:9000", False, 0.0), ("127.0.0.1:9000", False, 0.0)]


def test_a_rank_of_pods_that_are_gone_is_the_log_of_its_node(client, shipped) -> None:
    spec = with_stage(chain(), "b", pytorch=PytorchWorkload(num_nodes=3, num_procs_per_node=8))
    client.objects["demo"]["spec"] = spec.to_values()
    assert _call("logs", "b", "--rank", "15") == "==> node 1 <==\nlog of 1\n"
    with pytest.raises(InputError, match="there is none of this node"):
        _call("logs", "b", "--rank", "16")


def test_a_store_that_cannot_be_read_is_told_with_the_place_of_the_logs(client, shipped, monkeypatch) -> None:
    def away(*_):
        raise StorageError("the server cannot be reached")

    monkeypatch.setattr("jobs.shipped_logs.store_for_uri", away)
    with pytest.raises(InputError, match=r"stay in s3://mimo/runs.*cannot be read: the server cannot be reached"):
        _call("logs", "b")


def test_a_stage_that_never_ran_has_no_log(client) -> None:
    with pytest.raises(InputError, match="end is Pending and has no attempt yet"):
        _call("logs", "end")


def test_an_unknown_pipeline_and_an_unknown_stage_are_named(client) -> None:
    with pytest.raises(ConfigError, match="'x' is not in this run; choose from"):
        _call("approve", "x")
    del client.objects["demo"]
    with pytest.raises(InputError, match="--pipeline: no demo in namespace train"):
        _call("status")


def test_a_pipeline_that_no_operator_has_seen_says_so(client) -> None:
    del client.objects["demo"]["status"]
    assert "no operator has looked at this pipeline yet" in _call("status")
    with pytest.raises(InputError, match="stage b: no operator has looked"):
        _call("logs", "b")


def test_an_object_of_another_version_is_named_field_by_field(client) -> None:
    client.objects["demo"]["spec"]["colour"] = "red"
    with pytest.raises(InputError, match=r"not a pipeline that this version of mimo knows:\n.*colour"):
        _call("status")


def test_a_folder_and_a_pipeline_cannot_both_be_meant(client, tmp_path) -> None:
    with pytest.raises(ConfigError, match="--run-dir and --pipeline: got both"):
        _call("status", "--run-dir", str(tmp_path))


def test_a_namespace_without_a_pipeline_asks_for_one() -> None:
    with pytest.raises(ConfigError, match="--pipeline: missing"):
        CliRunner().invoke(app, ["status", "-n", "train"], catch_exceptions=False)


def test_a_running_stage_can_be_looked_at(client) -> None:
    client.objects["demo"]["status"] = started(chain(), running("a")).to_values()
    assert "Running" in _call("status", "--output", "json")


def _master() -> dict:
    labels = {"training.kubeflow.org/replica-type": "master", "training.kubeflow.org/replica-index": "0"}
    return pod("demo-b-2-master-0", **labels)


def _worker(name: str, index: str) -> dict:
    labels = {"training.kubeflow.org/replica-type": "worker", "training.kubeflow.org/replica-index": index}
    return pod(name, **labels)
