"""Stores in a bucket of a real S3 server process on loopback."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from minio import Minio

from mimo_vl.config.storage import StorageConfig
from mimo_vl.storage import ArtifactStore, store_for_uri
from tests.fakes.s3_server import KEY, SECRET, serve_s3


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serve_s3(tmp_path_factory.mktemp("s3") / "server.log") as endpoint:
        yield endpoint


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
