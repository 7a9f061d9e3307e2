"""The chart, installed the way a user installs it: namespace, `helm install`, everything ready; and gone afterwards."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.e2e.kube import Cluster, eventually

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts/mimo-pipeline"
RELEASE = "mimo-pipeline"
_PROJECT_IMAGES = ("operator.image", "workloads.trainerImage", "workloads.rolloutImage", "mlflow.image")
_ENFORCE = "pod-security.kubernetes.io/enforce"


def make_namespace(cluster: Cluster, name: str) -> None:
    """A namespace that enforces the restricted Pod Security standard.

    On the development cluster with volumes (those of namespaces that are gone are emptied) and the mounted environment.
    """
    cluster.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {_ENFORCE: "restricted"}}}
    )
    if not cluster.is_development:
        return
    environ = {**cluster.environ, "KUBECONFIG": str(cluster.kubeconfig)}
    for command in (["storage.sh"], ["environment-pvc.sh", name]):
        subprocess.run([str(ROOT / "devcluster" / command[0]), *command[1:]], env=environ, check=True, timeout=60)


def delete_namespaces(cluster: Cluster, *names: str, wait: bool = True) -> None:
    """Beside each other. Without `wait` they go while other tests run; who makes one anew waits for it first."""
    waiting = ("--wait=true", "--timeout=120s") if wait else ("--wait=false",)
    cluster.kubectl("delete", "namespace", *names, "--ignore-not-found", *waiting)


def values(cluster: Cluster) -> list[str]:
    """Arguments of helm: the development cluster's values, or those of any cluster with images out of a registry."""
    if cluster.is_development:
        return ["-f", str(CHART / "values-devcluster.yaml")]
    registry = os.environ.get("IMAGE_REGISTRY", "")
    if not registry:
        pytest.fail(
            f"KUBECONFIG is {cluster.kubeconfig}, which is not the development cluster, and IMAGE_REGISTRY is empty: "
            "its nodes need a registry to pull the four images from; `make images IMAGE_REGISTRY=...`, push them, and "
            "give the same IMAGE_REGISTRY here"
        )
    images = [f"{image}.registry={registry}" for image in _PROJECT_IMAGES]
    return ["-f", str(CHART / "values-tiny.yaml"), "--set", ",".join(images)]


def install(cluster: Cluster, namespace: str, *extra: str, release: str = RELEASE) -> None:
    """Returns when every Deployment of the release is available.

    The CRD outlives releases and namespaces, so each release takes it over from the one before.
    """
    _skip_without_its_parts(cluster)
    arguments = ("-n", namespace, *values(cluster), "--take-ownership", *extra)
    cluster.helm("install", release, str(CHART), *arguments, "--wait", "--timeout", "5m")


def _skip_without_its_parts(cluster: Cluster) -> None:
    """Skips, visibly, where the development cluster has no operators or no store: every release needs them."""
    folder = cluster.kubeconfig.parents[1] / "skipped"
    missing = [f"{p.name}: {p.read_text().strip()}" for p in sorted(folder.glob("*"))] if cluster.is_development else []
    if missing:
        pytest.skip(f"the development cluster is without {'; '.join(missing)}")


def operator_logs(cluster: Cluster, namespace: str) -> str:
    selector = "app.kubernetes.io/component=operator"
    return cluster.kubectl("logs", "-n", namespace, "-l", selector, "--tail=60", "--prefix", "--ignore-errors")


def explain(cluster: Cluster, namespace: str) -> str:
    """What a person would look at first."""
    commands = (
        ("get", "mimopipelines,jobs,pytorchjobs,rayjobs,pods", "-o", "wide"),
        ("get", "events", "--sort-by=.lastTimestamp"),
    )
    texts = [cluster.kubectl(*c, "-n", namespace) for c in commands]
    return "\n".join([texts[0], *texts[1].splitlines()[-25:], operator_logs(cluster, namespace)])


def wait_gone(cluster: Cluster, kind: str, name: str, namespace: str, deadline_s: float) -> None:
    eventually(
        f"{kind} {name} is gone",
        lambda: cluster.get(kind, name, namespace) is None,
        deadline_s=deadline_s,
        explain=lambda: explain(cluster, namespace),
    )
