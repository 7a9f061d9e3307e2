"""`mimo logs` on a cluster: every node is there, from its pod or from the store, or it is said why not."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from jobs import cluster_logs
from jobs.cli import app
from mimo_vl.errors import ConfigError, InputError, StorageError
from mimo_vl.storage.local import LocalStore
from operators.mimo_pipeline.api import PytorchWorkload, RayWorkload, StageState, StageStatus
from operators.mimo_pipeline.kubernetes import api_client
from tests.fakes.pipeline_client import FakePipelineClient, cluster_object, pod, starting
from tests.fakes.pipelines import chain, running, started, succeeded, with_stage


@pytest.fixture
def client(monkeypatch) -> FakePipelineClient:
    """A pipeline whose b has ended with its second attempt; the commands connect to it."""
    monkeypatch.setattr(cluster_logs, "_INTERVAL_S", 0.01)
    ended = StageStatus(name="b", state=StageState.AWAITING_APPROVAL, attempt=2, key="sha256:kb")
    made = FakePipelineClient(cluster_object(chain(), started(chain(), succeeded("a"), ended)))
    monkeypatch.setattr(api_client, "connect", lambda **_: made)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    return made


def _call(*arguments: str) -> str:
    result = CliRunner().invoke(app, [*arguments, "--pipeline", "demo", "-n", "train"], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def _with(client: FakePipelineClient, stage: StageStatus, **workload) -> None:
    """Stage b in another state, or with another workload."""
    spec = with_stage(chain(), "b", **workload)
    client.objects["demo"] |= {"spec": spec.to_values()}
    client.objects["demo"]["status"] |= {"stages": started(spec, succeeded("a"), stage).to_values()["stages"]}


def _queued() -> StageStatus:
    message = "no quota in queue gpus"
    return running("b", 2).model_copy(update={"state": StageState.QUEUED, "reason": "Queued", "message": message})


def _nodes(number: int, per_node: int = 8) -> PytorchWorkload:
    return PytorchWorkload(num_nodes=number, num_procs_per_node=per_node)


def test_logs_are_those_of_the_latest_attempt_of_all_pods_in_the_order_of_nodes(client) -> None:
    client.listed_pods = [_worker("demo-b-2-worker-0", "0"), _master()]
    client.logs = {"demo-b-2-master-0": "rank 0\n", "demo-b-2-worker-0": "rank [1]\n"}
    text = _call("logs", "b")
    assert client.selectors == ["mimo.dev/attempt=2,mimo.dev/pipeline=demo,mimo.dev/stage=b"]
    assert text == "==> demo-b-2-master-0 <==\nrank 0\n==> demo-b-2-worker-0 <==\nrank [1]\n"


def test_one_rank_is_its_lines_of_the_log_of_its_node(client) -> None:
    _with(client, running("b", 2), pytorch=_nodes(2))
    client.listed_pods = [_master(), _worker("demo-b-2-worker-0", "0")]
    time, launcher = "2026-01-01T12:00:00Z INFO jobs.train", "2026-01-01T12:00:00Z INFO jobs.launch: started\n"
    worker = f"{launcher}{time} r8: step 1\n{time} r9: step 1\nTraceback\n  line\n{time} r8: step 2\n"
    client.logs = {"demo-b-2-master-0": f"{time} r7: step 1\n", "demo-b-2-worker-0": worker}
    assert _call("logs", "b", "--rank", "7") == f"{time} r7: step 1\n"
    assert _call("logs", "b", "--rank", "8") == f"{time} r8: step 1\n{time} r8: step 2\n"
    assert _call("logs", "b", "--rank", "9", "--attempt", "1", "-f") == f"{time} r9: step 1\nTraceback\n  line\n"
    with pytest.raises(ConfigError, match="--rank: got 16, stage b has ranks 0 to 15"):
        _call("logs", "b", "--rank", "16")
    with pytest.raises(InputError, match="--rank: no line of rank 15 in this log"):
        _call("logs", "b", "--rank", "15")


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


def test_a_rank_of_pods_that_are_gone_is_read_from_the_log_of_its_node(client, shipped) -> None:
    _with(client, running("b", 2).model_copy(update={"state": StageState.FAILED}), pytorch=_nodes(3))
    line = "2026-01-01T12:00:00Z INFO jobs.train r15: step 1\n"
    shipped.put_bytes("logs/node-1.log", f"before\n{line}".encode())
    assert _call("logs", "b", "--rank", "15") == f"==> node 1 <==\n{line}"
    with pytest.raises(InputError, match="there is none of node 2"):
        _call("logs", "b", "--rank", "16")


def test_a_node_whose_pod_is_gone_beside_others_comes_from_the_store(client, shipped) -> None:
    """With cleanPodPolicy Running the pod of the worker that crashed stays, and that of the master goes."""
    _with(client, running("b", 2).model_copy(update={"state": StageState.FAILED}), pytorch=_nodes(3))
    client.listed_pods = [_worker("demo-b-2-worker-0", "0")]
    client.logs = {"demo-b-2-worker-0": "it crashed\n"}
    shipped.delete("logs/node-10.log")
    where = "s3://mimo/runs/train/demo/0123abcd/b/attempt-2"
    gone = f"mimo: node 2 has no pod; its log in {where} is not there\n"
    assert _call("logs", "b") == (
        f"==> node 0 <==\nlog of 0\n==> demo-b-2-worker-0 <==\nit crashed\n==> node 2 <==\n{gone}"
    )
    followed = _call("logs", "b", "-f")
    assert "==> node 0 <==\nlog of 0\n" in followed
    assert "==> demo-b-2-worker-0 <==\nit crashed\n" in followed
    assert f"==> node 2 <==\n{gone}" in followed


def test_nodes_without_pods_and_a_store_that_cannot_be_read_are_named(client) -> None:
    _with(client, running("b", 2).model_copy(update={"state": StageState.FAILED}), pytorch=_nodes(2))
    client.listed_pods, client.logs = [_worker("demo-b-2-worker-0", "0")], {"demo-b-2-worker-0": "it crashed\n"}
    text = _call("logs", "b")
    assert "==> node 0 <==\nmimo: node 0 has no pod; its log in <store of the operator>/runs/" in text
    assert "cannot be read: " in text
    assert text.endswith("==> demo-b-2-worker-0 <==\nit crashed\n")


def test_a_queued_stage_without_pods_is_told_as_queued(client) -> None:
    _with(client, _queued())
    assert _call("logs", "b") == "mimo: stage b is Queued (Queued: no quota in queue gpus); it has no pods yet\n"


def test_a_container_that_starts_is_told_and_the_others_are_shown(client) -> None:
    _with(client, running("b", 2), pytorch=_nodes(2))
    client.listed_pods = [_master(), starting(_worker("demo-b-2-worker-0", "0"), "ContainerCreating")]
    client.logs = {"demo-b-2-master-0": "rank 0\n"}
    waits = "mimo: pod demo-b-2-worker-0 has written nothing yet (Pending: ContainerCreating)\n"
    assert _call("logs", "b") == f"==> demo-b-2-master-0 <==\nrank 0\n==> demo-b-2-worker-0 <==\n{waits}"


def test_following_waits_for_pods_and_their_containers(client) -> None:
    _with(client, _queued(), pytorch=_nodes(2))
    master, worker = _master(), _worker("demo-b-2-worker-0", "0")
    creating = starting(worker, "ContainerCreating")
    client.later_pods = [[], [], [master], [master, creating], [master, creating], [master, worker]]
    client.logs = {"demo-b-2-master-0": "rank 0\n", "demo-b-2-worker-0": "rank 1\n"}
    text = _call("logs", "b", "-f")
    assert text.count("mimo: stage b is Queued") == 1
    assert text.count("mimo: waiting for demo-b-2-worker-0 (Pending: ContainerCreating)\n") == 1
    assert text.index("rank 0") < text.index("waiting for demo-b-2-worker-0") < text.index("rank 1\n")


def test_following_an_attempt_that_ends_before_its_pods_begin_says_so(client) -> None:
    _with(client, running("b", 3), pytorch=_nodes(1))
    client.listed_pods = [starting(_master(), "ImagePullBackOff")]
    waits = "mimo: pod demo-b-2-master-0 has written nothing yet (Pending: ImagePullBackOff)\n"
    assert _call("logs", "b", "--attempt", "2", "-f") == f"==> demo-b-2-master-0 <==\n{waits}"


def test_pods_of_ray_that_come_later_are_followed_too(client) -> None:
    _with(client, running("b", 2), ray=RayWorkload())
    client.later_pods = [[pod("head")], [pod("head"), pod("worker")]]
    client.logs = {"head": "driver\n", "worker": "rollout\n"}

    def end(_: str) -> list:
        found = original(_)
        if len(found) == 2:
            _with(client, running("b", 3), ray=RayWorkload())
        return found

    original, client.pods = client.pods, end
    assert _call("logs", "b", "-f") == "==> head <==\ndriver\n==> worker <==\nrollout\n"


def test_a_store_that_cannot_be_read_is_told_with_the_place_of_the_logs(client, shipped, monkeypatch) -> None:
    def away(*_):
        raise StorageError("the server cannot be reached")

    monkeypatch.setattr("jobs.shipped_logs.store_for_uri", away)
    with pytest.raises(InputError, match=r"stay in s3://mimo/runs.*cannot be read: the server cannot be reached"):
        _call("logs", "b")


def test_a_stage_that_never_ran_has_no_log(client) -> None:
    with pytest.raises(InputError, match="end is Pending and has no attempt yet"):
        _call("logs", "end")


def _master() -> dict:
    labels = {"training.kubeflow.org/replica-type": "master", "training.kubeflow.org/replica-index": "0"}
    return pod("demo-b-2-master-0", **labels)


def _worker(name: str, index: str) -> dict:
    labels = {"training.kubeflow.org/replica-type": "worker", "training.kubeflow.org/replica-index": index}
    return pod(name, **labels)
