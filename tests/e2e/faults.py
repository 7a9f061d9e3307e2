"""What happens on clusters, done on purpose: a pod is lost, a rank crashes, the operator is killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
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


def crash_rank(stage: str) -> int:
    """SIGABRT to rank 1 of the stage, as an assertion in a library does it; returns its pid on this machine."""
    pid = _second_rank(stage)
    os.kill(pid, signal.SIGABRT)
    return pid


@contextmanager
def held_rank(stage: str) -> Iterator[None]:
    """Rank 1 makes no step meanwhile, so that the stage goes on but does not end; the threads of rank 0 work on."""
    pid = _second_rank(stage)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _second_rank(stage: str) -> int:
    wanted = {"RANK=1", f"MIMO_STAGE={stage}"}
    found = [pid for pid, environ in _in_containers("jobs.train") if wanted <= environ]
    assert len(found) == 1, f"rank 1 of {stage} is one process in a container of this machine; found {found}"
    return found[0]


def _kill_operator_processes() -> list[int]:
    """Returns their pids."""
    killed = [pid for pid, _ in _in_containers(_OPERATOR_MODULE)]
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    return killed


def _in_containers(module: str, proc: Path = Path("/proc")) -> list[tuple[int, set[str]]]:
    """Pid on this machine and environment of every process in a container that is `python -m MODULE`."""
    own = (proc / "self/ns/pid").readlink()
    found = []
    for folder in sorted(p for p in proc.iterdir() if p.name.isdecimal()):
        try:
            command, environ = (_words(folder / name) for name in ("cmdline", "environ"))
            in_container = (folder / "ns/pid").readlink() != own
        except OSError:
            continue
        if in_container and command[1:3] == ["-m", module]:
            found.append((int(folder.name), set(environ)))
    return found


def _words(path: Path) -> list[str]:
    return path.read_bytes().decode(errors="replace").split("\0")
