"""Is a secret of the release anywhere where others may read it? In arguments, in logs, in events, in the status."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from mimo_vl.storage.layout import LOGS_DIR, run_prefix
from tests.e2e.kube import Cluster
from tests.e2e.port_forward import open_release_store
from tests.e2e.release import RELEASE
from tests.e2e.with_faults.drive import NAMESPACE, PIPELINE, FaultRun

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

_ROOT, _STAGES = f"{RELEASE}-minio-root", f"{RELEASE}-store"
# The name of the stages' user, the same in every release: it opens nothing.
_PUBLIC = "AWS_ACCESS_KEY_ID"
# What a presigned URL is worth as long as it lasts.
_SIGNATURE = re.compile(r"X-Amz-Signature=[0-9a-f]{8}")
_SETUP = f"{RELEASE}-store-setup"
# What pods are made from, and what tells of them.
_KINDS = "pods,jobs,pytorchjobs,rayjobs,rayclusters,deployments,configmaps,mimopipelines,events"


def _secrets(cluster: Cluster) -> dict[str, str]:
    """Secret/key -> value, of all that were made by hand, by the chart or by KubeRay in the namespace."""
    found = {}
    for secret in cluster.list("secrets", NAMESPACE):
        # The others are ServiceAccounts' and helm's own.
        if secret["type"] == "Opaque":
            for key, value in secret.get("data", {}).items():
                found[f"{secret['metadata']['name']}/{key}"] = base64.b64decode(value).decode()
    del found[f"{_STAGES}/{_PUBLIC}"]
    return found


def _shown(text: str, secrets: dict[str, str]) -> list[str]:
    """Names of the secrets that are in the text, plain or in base64."""
    forms = {name: (value, base64.b64encode(value.encode()).decode()) for name, value in secrets.items()}
    found = [name for name, words in forms.items() if any(word in text for word in words)]
    return [*found, *(["a presigned URL"] if _SIGNATURE.search(text) else [])]


@pytest.fixture(scope="module")
def secrets(run: FaultRun) -> dict[str, str]:
    found = _secrets(run.cluster)
    assert {f"{_ROOT}/MINIO_ROOT_USER", f"{_ROOT}/MINIO_ROOT_PASSWORD", f"{_STAGES}/AWS_SECRET_ACCESS_KEY"} <= set(
        found
    )
    assert [name for name, value in found.items() if len(value) < 12] == []
    return found


def test_a_secret_would_be_found() -> None:
    assert _shown("key=hunter2hunter2", {"a/b": "hunter2hunter2"}) == ["a/b"]
    assert _shown(base64.b64encode(b"hunter2hunter2").decode(), {"a/b": "hunter2hunter2"}) == ["a/b"]
    assert _shown("http://minio/mimo/a?X-Amz-Signature=0123456789ab", {}) == ["a presigned URL"]
    assert _shown("http://minio/mimo/a?X-Amz-Signature=***", {"a/b": "hunter2hunter2"}) == []


def test_no_object_of_the_namespace_shows_a_secret(run: FaultRun, secrets: dict[str, str]) -> None:
    """Arguments and environment of every pod that is still there, what made them, every event, the status."""
    items = run.cluster.list(_KINDS, NAMESPACE)
    kinds = {item["kind"] for item in items}
    assert {"Pod", "Job", "PyTorchJob", "RayJob", "Deployment", "ConfigMap", "MimoPipeline", "Event"} <= kinds
    shown = {f"{i['kind']}/{i['metadata']['name']}": _shown(json.dumps(i), secrets) for i in items}
    assert {name: found for name, found in shown.items() if found} == {}


def test_no_log_of_the_release_shows_a_secret(run: FaultRun, secrets: dict[str, str]) -> None:
    """Operator (also of the process that was killed), MLflow, MinIO, and the Job that sets the store up."""
    logs = {**_release_logs(run.cluster), _SETUP: _log_of_setup(run.cluster)}
    assert {part for part in ("operator", "mlflow", "minio", "setup") for name in logs if part in name} == {
        "operator",
        "mlflow",
        "minio",
        "setup",
    }
    assert [name for name, text in logs.items() if not text.strip()] == []
    assert {name: found for name, text in logs.items() if (found := _shown(text, secrets))} == {}


def _release_logs(cluster: Cluster) -> dict[str, str]:
    found = {}
    for pod in cluster.list("pods", NAMESPACE, f"app.kubernetes.io/instance={RELEASE}"):
        name = pod["metadata"]["name"]
        found[name] = cluster.kubectl("logs", name, "-n", NAMESPACE, "--all-containers")
        if any(container["restartCount"] for container in pod["status"]["containerStatuses"]):
            found[f"{name} before"] = cluster.kubectl("logs", name, "-n", NAMESPACE, "--previous")
    return found


def _log_of_setup(cluster: Cluster) -> str:
    """The Job is gone once it has succeeded; it may run any number of times."""
    hooks = yaml.safe_load_all(cluster.helm("get", "hooks", RELEASE, "-n", NAMESPACE))
    [job] = [hook for hook in hooks if hook["metadata"]["name"] == _SETUP]
    cluster.kubectl("create", "-n", NAMESPACE, "-f", "-", stdin=json.dumps(job))
    try:
        cluster.kubectl("wait", "--for=condition=Complete", f"job/{_SETUP}", "-n", NAMESPACE, "--timeout=120s")
        return cluster.kubectl("logs", f"job/{_SETUP}", "-n", NAMESPACE)
    finally:
        cluster.kubectl("delete", "job", _SETUP, "-n", NAMESPACE)


def test_no_log_of_a_stage_shows_a_secret(run: FaultRun, secrets: dict[str, str]) -> None:
    """As they were shipped, with the records beside them; and of the pods that are still there."""
    with open_release_store(run.cluster, NAMESPACE) as store:
        keys = [o.key for o in store.list(f"{run_prefix(run.run_id)}/")]
        told = [k for k in keys if f"/{LOGS_DIR}/" in k or k.endswith(("/exit.json", "/environment.json"))]
        texts = {key: store.get_bytes(key)[0].decode(errors="replace") for key in told}
    logs = {key.split("/")[-4] for key in told if f"/{LOGS_DIR}/" in key}
    assert logs == {stage["name"] for stage in run.pipeline()["status"]["stages"]}
    for pod in run.cluster.list("pods", NAMESPACE, f"mimo.dev/pipeline={PIPELINE}"):
        name = pod["metadata"]["name"]
        texts[name] = run.cluster.kubectl("logs", name, "-n", NAMESPACE, "--all-containers")
    assert {name: found for name, text in texts.items() if (found := _shown(text, secrets))} == {}


@pytest.mark.usefixtures("devcluster_only")
def test_no_command_line_of_a_process_shows_a_secret(secrets: dict[str, str]) -> None:
    """What a pod's arguments say of variables is filled in by the kubelet."""
    lines = list(_command_lines())
    assert any("mlflow" in line for line in lines)
    assert [line[:200] for line in lines if _shown(line, secrets)] == []


def _command_lines() -> Any:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield path.read_bytes().decode(errors="replace").replace("\0", " ")
        except OSError:
            continue
