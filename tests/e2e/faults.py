"""What happens on clusters, done on purpose: a worker pod is lost, the operator is killed, the Ray head dies."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.e2e.kube import Cluster

_OPERATOR_MODULE = "operators.mimo_pipeline.kubernetes"


def lose_pod(cluster: Cluster, namespace: str, selector: str) -> str:
    """Delete the first pod of the selector without a grace period, as a lost node would; returns its name."""
    pod = sorted(p["metadata"]["name"] for p in cluster.list("pods", namespace, selector))[0]
    cluster.kubectl("delete", "pod", pod, "-n", namespace, "--grace-period=0", "--force", "--wait=false")
    return pod


def kill_operator(cluster: Cluster, namespace: str) -> list[str]:
    """SIGKILL to its process; on a cluster whose processes are elsewhere its pod goes without a grace period."""
    if cluster.is_development:
        return [str(pid) for pid in _kill_operator_processes()]
    return [lose_pod(cluster, namespace, "app.kubernetes.io/component=operator")]


def _kill_operator_processes(proc: Path = Path("/proc")) -> list[int]:
    """Of every container of this machine; returns their pids."""
    own = (proc / "self/ns/pid").readlink()
    killed = []
    for folder in sorted(p for p in proc.iterdir() if p.name.isdecimal()):
        try:
            command = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
            in_container = (folder / "ns/pid").readlink() != own
        except OSError:
            continue
        if in_container and _OPERATOR_MODULE in command:
            os.kill(int(folder.name), signal.SIGKILL)
            killed.append(int(folder.name))
    return killed
