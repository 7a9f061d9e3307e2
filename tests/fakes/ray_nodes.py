"""A Ray cluster of several node processes on loopback, each with the environment that its pod would have."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mimo_vl.free_port import free_port
from mimo_vl.schema.ray_environment import RAY_ENVIRONMENT

ROOT = Path(__file__).parents[2]
TOKEN = "0123456789abcdef0123456789abcdef"
# Of a pod's environment: what the processes of Ray read when they start.
POD_ENVIRONMENT = {**RAY_ENVIRONMENT, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}
_OBJECT_STORE_BYTES = 100 << 20
_NODES = ("trainer", "rollout", "rollout-2", "reward")


@contextlib.contextmanager
def ray_nodes(folder: Path, environ: Mapping[str, str], names: Sequence[str] = _NODES) -> Iterator[str]:
    """A head, and nodes named after their groups: `<group>` or `<group>-<n>`. `folder` must be short. Yields the
    address."""
    address = f"127.0.0.1:{free_port()}"
    port = address.rpartition(":")[2]
    head = ["--head", f"--port={port}", "--num-cpus=0", "--include-dashboard=false", f"--temp-dir={folder / 'ray'}"]
    nodes = [_start(folder, "head", head, environ)]
    try:
        _wait_listening(address, nodes[0])
        worker = [f"--address={address}", "--num-cpus=1"]
        for name in names:
            # Nodes that start on one machine at the same time would choose the same names for their sockets.
            _wait_sockets(folder, len(nodes), nodes[-1])
            nodes += [_start(folder, name, worker, environ)]
        yield address
    finally:
        for node in nodes:
            node.terminate()
        for node in nodes:
            try:
                node.wait(20)
            except subprocess.TimeoutExpired:
                node.kill()
                node.wait()


def _start(folder: Path, name: str, options: list[str], environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
    resources = json.dumps({name.partition("-")[0]: 1})
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--node-ip-address=127.0.0.1"]
    command += [f"--resources={resources}", f"--object-store-memory={_OBJECT_STORE_BYTES}"]
    command += ["--min-worker-port=0", "--max-worker-port=0", "--dashboard-agent-listen-port=0", *options]
    variables = {**os.environ, **POD_ENVIRONMENT, **environ, "MIMO_SCRATCH": str(folder / "scratch" / name)}
    variables = {k: v for k, v in variables.items() if k != "PYTHONDONTWRITEBYTECODE"} | {"PYTHONPATH": str(ROOT)}
    with (folder / f"{name}.log").open("wb") as log:
        return subprocess.Popen(command, env=variables, cwd=folder, stdout=log, stderr=log)


def _wait_sockets(folder: Path, num_nodes: int, newest: subprocess.Popen[bytes]) -> None:
    deadline_s = time.monotonic() + 120
    while len(list(folder.glob("ray/session_latest/sockets/raylet*"))) < num_nodes:
        assert newest.poll() is None, "a Ray node ended"
        assert time.monotonic() < deadline_s, "a Ray node does not start"
        time.sleep(0.1)


def _wait_listening(address: str, head: subprocess.Popen[bytes]) -> None:
    host, _, port = address.rpartition(":")
    deadline_s = time.monotonic() + 120
    while True:
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1.0):
            return
        assert head.poll() is None, "the Ray head ended"
        assert time.monotonic() < deadline_s, "the Ray head does not listen"
        time.sleep(0.2)
