"""What a pod or Service of the cluster shows to Prometheus."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.request import urlopen

from tests.e2e.kube import Cluster, CommandError
from tests.e2e.port_forward import forward

_TIMEOUT_S = 10.0


def read_metrics(cluster: Cluster, namespace: str, target: str, port: int) -> str:
    """`target`: svc/name or pod/name."""
    with (
        forward(cluster, namespace, target, port) as local,
        urlopen(f"http://127.0.0.1:{local}/metrics", timeout=_TIMEOUT_S) as answer,
    ):
        return str(answer.read().decode())


def metrics_of_running_stage(cluster: Cluster, namespace: str, stage: str) -> str:
    """Of its first pod, at the port that the pod's annotation names; "" while it does not answer."""
    for pod in cluster.list("pods", namespace, f"mimo.dev/stage={stage}"):
        annotations = pod["metadata"].get("annotations", {})
        if pod["status"].get("phase") != "Running" or annotations.get("prometheus.io/scrape") != "true":
            continue
        try:
            port = int(annotations["prometheus.io/port"])
            return read_metrics(cluster, namespace, f"pod/{pod['metadata']['name']}", port)
        except (OSError, AssertionError, CommandError):
            # The process has not come so far, or has ended meanwhile.
            continue
    return ""


def value_of(text: str, name: str, labels: Mapping[str, str]) -> float | None:
    """Of the sample with at least these labels; None = there is none."""
    for line in text.splitlines():
        found = re.fullmatch(rf"{name}\{{(.*)\}} (\S+)", line)
        if found and labels.items() <= dict(re.findall(r'(\w+)="([^"]*)"', found.group(1))).items():
            return float(found.group(2))
    return None
