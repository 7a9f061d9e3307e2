"""A real S3 server process on loopback, and a store in a bucket of it."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
import urllib3
from minio import Minio

from mimo_vl.config.storage import StorageConfig
from mimo_vl.storage import ArtifactStore, store_for_uri

KEY, SECRET = "test-access", "test-secret"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    log = (tmp_path_factory.mktemp("s3") / "server.log").open("wb")
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=log, stderr=log)
    deadline_s = time.monotonic() + 60
    while True:
        try:
            urllib3.request("GET", f"http://127.0.0.1:{port}/moto-api/", timeout=1.0, retries=False)
            break
        except urllib3.exceptions.HTTPError:
            assert process.poll() is None, "S3 server ended"
            assert time.monotonic() < deadline_s, "S3 server did not start"
            time.sleep(0.2)
    yield f"127.0.0.1:{port}"
    process.terminate()
    process.wait()
    log.close()


@pytest.fixture
def config(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> StorageConfig:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    return StorageConfig(kind="s3", endpoint=endpoint, secure=False, timeout_s=10.0)


@pytest.fixture
def store(config: StorageConfig) -> ArtifactStore:
    client = Minio(endpoint=config.endpoint, access_key=KEY, secret_key=SECRET, secure=False, region="us-east-1")
    if client.bucket_exists(bucket_name="artifacts"):
        for item in client.list_objects(bucket_name="artifacts", recursive=True):
            client.remove_object(bucket_name="artifacts", object_name=item.object_name)
    else:
        client.make_bucket(bucket_name="artifacts")
    return store_for_uri("s3://artifacts/team", config)
