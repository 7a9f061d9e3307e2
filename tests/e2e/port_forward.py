"""A port of a pod or Service of the cluster, reached from this machine while a `with` block lasts."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import selectors
import subprocess
import time
from collections.abc import Iterator

import pytest

from mimo_vl.config.storage import StorageConfig
from mimo_vl.storage import ArtifactStore, store_for_uri
from tests.e2e.kube import Cluster
from tests.e2e.release import RELEASE

_READY = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+) ")
_DEADLINE_S = 30.0
_BUCKET = "s3://mimo"


@contextlib.contextmanager
def forward(cluster: Cluster, namespace: str, target: str, port: int) -> Iterator[int]:
    """The local port that leads to `target` (svc/name or pod/name); nothing else listens there."""
    command = ["kubectl", "port-forward", "-n", namespace, "--address", "127.0.0.1", target, f":{port}"]
    process = subprocess.Popen(command, env=cluster.command_environ(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        yield _local_port(process, " ".join(command))
    finally:
        process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=5)


@contextlib.contextmanager
def open_release_store(cluster: Cluster, namespace: str, release: str = RELEASE) -> Iterator[ArtifactStore]:
    """The bucket of a release, as the user that its stages are."""
    with forward_release_store(cluster, namespace, release) as endpoint:
        yield store_for_uri(_BUCKET, StorageConfig(uri=_BUCKET, endpoint=endpoint, secure=False))


@contextlib.contextmanager
def forward_release_store(cluster: Cluster, namespace: str, release: str = RELEASE) -> Iterator[str]:
    """Host:port of the object store of a release, with the keys of its stages in the environment."""
    secret = cluster.get("secret", f"{release}-store", namespace)
    assert secret is not None, f"no Secret {release}-store in {namespace}"
    with forward(cluster, namespace, f"svc/{release}-minio", 9000) as port, pytest.MonkeyPatch.context() as patch:
        for name, value in secret["data"].items():
            patch.setenv(name, base64.b64decode(value).decode())
        yield f"127.0.0.1:{port}"


def _local_port(process: subprocess.Popen[bytes], what: str) -> int:
    assert process.stdout is not None
    until, said = time.monotonic() + _DEADLINE_S, ""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while (left_s := until - time.monotonic()) > 0 and process.poll() is None:
            if selector.select(timeout=left_s):
                said += os.read(process.stdout.fileno(), 4096).decode(errors="replace")
            if found := _READY.search(said):
                return int(found.group(1))
    raise AssertionError(f"{what}: no port within {_DEADLINE_S:.0f} s, exit code {process.poll()}\n{said}")
