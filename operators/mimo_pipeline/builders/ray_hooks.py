"""What a Ray pod does before it ends: the driver saves first, then the workers go.

KubeRay's `ray start` is process 1 or the child of a shell that is, as the image's bash has it. In the first case a
worker's actors would die at once, while the driver still needs them to save; in the second the pod would last its
whole grace period. And no signal of the kubelet reaches the driver, which is a grandchild.
"""

from __future__ import annotations

from typing import Any

# KubeRay's default for the head, which we do not change; as /proc/net/tcp writes it.
_GCS_PORT = 6379
_ESTABLISHED = f":{_GCS_PORT:04X} 01 "

# Process 1 takes a signal from inside only if it has a handler for it: a shell has none, `ray start` has.
_END_RAY = """\
for p in 1 $(cat /proc/1/task/1/children); do
  tr '\\0' ' ' < "/proc/$p/cmdline" | grep -q 'ray start' && kill -TERM "$p"
done
"""


def end_driver_script(pid_file: str) -> str:
    """Ask the driver's launcher to stop and wait until it is gone. A stale pid file names no launcher."""
    return f"""\
pid=$(cat {pid_file} 2>/dev/null)
running() {{ [ -n "$pid" ] && grep -qs jobs.launch "/proc/$pid/cmdline"; }}
running && kill -TERM "$pid"
while running; do sleep 0.5; done
"""


def await_head_script(tables: str = "/proc/net/tcp /proc/net/tcp6") -> str:
    """Wait until no connection to the head's control store is left: its container has ended."""
    return f"while grep -qs '{_ESTABLISHED}' {tables}; do sleep 0.5; done\n"


def head_hook(pid_file: str) -> dict[str, Any]:
    return _pre_stop(end_driver_script(pid_file) + _END_RAY)


def worker_hook() -> dict[str, Any]:
    return _pre_stop(await_head_script() + _END_RAY)


def _pre_stop(script: str) -> dict[str, Any]:
    return {"preStop": {"exec": {"command": ["/bin/sh", "-c", script]}}}
