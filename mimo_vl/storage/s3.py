"""How an S3 server serves as artifact store. The only user of minio.

Creates and swaps are conditional PUTs (If-None-Match: *, If-Match: etag). The minio client cannot send these headers,
so they go with a presigned URL: with signature version 4 only `host` is signed, and other headers may be added.
A presigned URL is a credential and never appears in a message.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import urllib3

from mimo_vl.config.storage import StorageConfig
from mimo_vl.errors import ArtifactNotFoundError, ConfigError, PreconditionFailedError, StorageError
from mimo_vl.storage.store import ObjectInfo

_MISSING_CODES = {"NoSuchKey", "NoSuchObject", "NotFound", "ResourceNotFound"}
# 409 ConditionalRequestConflict: another conditional write of this key is under way.
_PRECONDITION_STATUSES = {409, 412}
_PRESIGNED_FOR = timedelta(minutes=5)
# Objects above this size are uploaded in parts of this size.
_PART_SIZE_BYTES = 64 << 20
_NUM_RETRIES = 3


def build_s3_store(uri: str, config: StorageConfig) -> S3Store:
    """Credentials come from AWS_* or MINIO_* variables, which the minio client reads itself."""
    from minio import Minio
    from minio.credentials import ChainedProvider, EnvAWSProvider, EnvMinioProvider

    parts = urlsplit(uri)
    if not parts.netloc:
        raise ConfigError(f"storage.uri: got {uri!r}; wanted s3://bucket/prefix")
    retries = urllib3.Retry(total=_NUM_RETRIES, backoff_factor=0.5, status_forcelist=(500, 502, 503, 504))
    timeout = urllib3.Timeout(connect=min(config.timeout_s, 10.0), read=config.timeout_s)
    http = urllib3.PoolManager(timeout=timeout, retries=retries, maxsize=8)
    client = Minio(
        endpoint=config.endpoint or "s3.amazonaws.com",
        region=config.region,
        secure=config.secure,
        http_client=http,
        credentials=ChainedProvider([EnvAWSProvider(), EnvMinioProvider()]),
    )
    return S3Store(client, http, parts.netloc, parts.path.strip("/"))


class S3Store:
    """`s3://bucket/prefix` store; etags are the server's."""

    def __init__(self, client: Any, http: urllib3.PoolManager, bucket: str, prefix: str) -> None:
        self._client = client
        self._http = http
        self._bucket = bucket
        self._prefix = prefix

    def uri(self, key: str = "") -> str:
        return f"s3://{self._bucket}/{self._name(key)}".rstrip("/")

    def local_path(self, key: str = "") -> Path | None:  # noqa: ARG002 - protocol
        return None

    def put_bytes(self, key: str, data: bytes, *, if_none_match: bool = False, if_match: str | None = None) -> str:
        headers = {"Content-Type": "application/octet-stream"}
        if if_none_match:
            headers["If-None-Match"] = "*"
        elif if_match is not None:
            headers["If-Match"] = f'"{if_match}"'
        with self._errors(key):
            url = self._client.get_presigned_url("PUT", self._bucket, self._name(key), expires=_PRESIGNED_FOR)
            # A conditional write that is sent twice because its answer got lost would meet its own first copy.
            retries = urllib3.Retry(total=0) if len(headers) > 1 else None
            response = self._http.request("PUT", url, body=data, headers=headers, retries=retries)
        if response.status in _PRECONDITION_STATUSES or (response.status == 404 and if_match is not None):
            raise PreconditionFailedError(f"{self.uri(key)} was written by somebody else (HTTP {response.status})")
        if response.status != 200:
            raise StorageError(f"PUT {self.uri(key)}: HTTP {response.status} {_error_code(response.data)}")
        return _bare(response.headers.get("ETag", ""))

    def get_bytes(self, key: str) -> tuple[bytes, str]:
        with self._errors(key):
            response = self._client.get_object(self._bucket, self._name(key))
            try:
                return response.read(), _bare(response.headers.get("ETag", ""))
            finally:
                response.close()
                response.release_conn()

    def put_file(self, key: str, path: Path) -> None:
        with self._errors(key):
            self._client.fput_object(self._bucket, self._name(key), str(path), part_size=_PART_SIZE_BYTES)

    def get_file(self, key: str, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".tmp-", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            with self._errors(key):
                self._client.fget_object(self._bucket, self._name(key), str(temporary))
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def exists(self, key: str) -> bool:
        try:
            with self._errors(key):
                self._client.stat_object(self._bucket, self._name(key))
        except ArtifactNotFoundError:
            return False
        return True

    def list(self, prefix: str = "") -> list[ObjectInfo]:
        # A trailing slash says "inside this folder"; without a prefix the root's own slash does.
        name = self._name(prefix) + ("/" if (prefix.endswith("/") or not prefix) and self._name(prefix) else "")
        with self._errors(prefix):
            found = list(self._client.list_objects(self._bucket, prefix=name, recursive=True))
        skip = len(self._prefix) + 1 if self._prefix else 0
        return sorted(ObjectInfo(item.object_name[skip:], item.size or 0) for item in found)

    def delete(self, key: str) -> None:
        with self._errors(key):
            self._client.remove_object(self._bucket, self._name(key))

    def _name(self, key: str) -> str:
        if key.startswith("/") or ".." in key.split("/"):
            raise ValueError(f"store key {key!r} leaves the store; wanted a relative key without '..'")
        return "/".join(part for part in (self._prefix, key.strip("/")) if part)

    @contextmanager
    def _errors(self, key: str) -> Iterator[None]:
        """Our errors instead of minio's and urllib3's. Their texts may hold presigned URLs: only the class is told."""
        from minio.error import MinioException, S3Error

        try:
            yield
        except S3Error as error:
            if error.code in _MISSING_CODES:
                raise ArtifactNotFoundError(f"no object {self.uri(key)}") from error
            raise StorageError(f"{self.uri(key)}: the server answered {error.code}: {error.message}") from error
        except (MinioException, urllib3.exceptions.HTTPError) as error:
            raise StorageError(
                f"{self.uri(key)}: the server cannot be reached ({type(error).__name__}); check storage.endpoint"
            ) from None


def _bare(etag: str) -> str:
    return etag.strip('"')


def _error_code(body: bytes) -> str:
    """<Code> of an S3 error document."""
    text = body.decode(errors="replace")
    return text.partition("<Code>")[2].partition("</Code>")[0] if "<Code>" in text else ""
