"""How an S3 server serves as artifact store. The only user of minio. Outages: outage.py.

Creates and swaps are conditional PUTs (If-None-Match: *, If-Match: etag). The minio client cannot send these headers,
so they go with a presigned URL: with signature version 4 only `host` is signed, and other headers may be added.
A presigned URL is a credential and never appears in a message. A conditional PUT that is sent again, because the answer
to it got lost, may meet its own first copy: then the stored bytes are ours, and it succeeded.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import urllib3

from mimo_vl.config.storage import StorageConfig
from mimo_vl.errors import ArtifactNotFoundError, ConfigError, PreconditionFailedError, StorageError
from mimo_vl.storage.outage import PatientPool, ServerAwayError, away_errors, error_code, patiently
from mimo_vl.storage.store import Credentials, ObjectInfo

_MISSING_CODES = {"NoSuchKey", "NoSuchObject", "NotFound", "ResourceNotFound"}
# A server that came back forgot the parts, or the answer to the request that joined them got lost.
_UPLOAD_GONE = "NoSuchUpload"
# 409 ConditionalRequestConflict: another conditional write of this key is under way.
_CONFLICT = 409
_PRECONDITION_STATUSES = {_CONFLICT, 412}
# Beyond the time for which a request is repeated.
_PRESIGNED_FOR_S = 300.0
# Objects above this size are uploaded in parts of this size.
_PART_SIZE_BYTES = 64 << 20


def build_s3_store(uri: str, config: StorageConfig, credentials: Credentials | None = None) -> S3Store:
    """Credentials that are not given come from AWS_* or MINIO_* variables, which the minio client reads itself."""
    from minio import Minio
    from minio.credentials import ChainedProvider, EnvAWSProvider, EnvMinioProvider, StaticProvider

    parts = urlsplit(uri)
    if not parts.netloc:
        raise ConfigError(f"storage.uri: got {uri!r}; wanted s3://bucket/prefix")
    http = PatientPool(timeout_s=config.timeout_s, outage_timeout_s=config.outage_timeout_s)
    given = StaticProvider(credentials.access_key, credentials.secret_key) if credentials else None
    client = Minio(
        endpoint=config.endpoint or "s3.amazonaws.com",
        region=config.region,
        secure=config.secure,
        http_client=http,
        credentials=given or ChainedProvider([EnvAWSProvider(), EnvMinioProvider()]),
    )
    return S3Store(client, http, parts.netloc, parts.path.strip("/"))


class S3Store:
    """`s3://bucket/prefix` store; etags are the server's."""

    def __init__(self, client: Any, http: PatientPool, bucket: str, prefix: str) -> None:
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
        response, is_repeated = self._put(key, data, headers)
        if response.status in _PRECONDITION_STATUSES or (response.status == 404 and if_match is not None):
            etag = self._etag_of(key, data) if is_repeated else None
            if etag is not None:
                return etag
            raise PreconditionFailedError(f"{self.uri(key)} was written by somebody else (HTTP {response.status})")
        if response.status != 200:
            raise StorageError(f"PUT {self.uri(key)}: HTTP {response.status} {error_code(response.data)}")
        return _bare(response.headers.get("ETag", ""))

    def _put(self, key: str, data: bytes, headers: Mapping[str, str]) -> tuple[urllib3.BaseHTTPResponse, bool]:
        """The answer, and whether an earlier try, which failed, may have written."""
        num_tries = 0

        def send() -> urllib3.BaseHTTPResponse:
            nonlocal num_tries
            num_tries += 1
            response = self._http.try_once("PUT", url, body=data, headers=headers)
            if response.status == _CONFLICT and num_tries > 1:
                # The write under way may be our own first copy.
                raise ServerAwayError(f"HTTP {_CONFLICT}")
            return response

        expires = timedelta(seconds=self._http.outage_timeout_s + _PRESIGNED_FOR_S)
        with self._errors(key):
            url = self._client.get_presigned_url("PUT", self._bucket, self._name(key), expires=expires)
            response = patiently(send, self._http.outage_timeout_s)
        return response, num_tries > 1

    def _etag_of(self, key: str, data: bytes) -> str | None:
        """Etag of the key if it holds exactly these bytes."""
        try:
            stored, etag = self.get_bytes(key)
        except ArtifactNotFoundError:
            return None
        return etag if stored == data else None

    def get_bytes(self, key: str) -> tuple[bytes, str]:
        def read() -> tuple[bytes, str]:
            with away_errors():
                response = self._client.get_object(self._bucket, self._name(key))
                try:
                    return response.read(), _bare(response.headers.get("ETag", ""))
                finally:
                    response.close()
                    response.release_conn()

        with self._errors(key):
            return patiently(read, self._http.outage_timeout_s)

    def put_file(self, key: str, path: Path) -> None:
        from minio.error import S3Error

        def upload() -> None:
            try:
                self._client.fput_object(self._bucket, self._name(key), str(path), part_size=_PART_SIZE_BYTES)
            except S3Error as error:
                if error.code == _UPLOAD_GONE:
                    raise ServerAwayError(_UPLOAD_GONE) from None
                raise

        with self._errors(key):
            patiently(upload, self._http.outage_timeout_s)

    def get_file(self, key: str, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".tmp-", dir=path.parent)
        os.close(handle)
        temporary, part = Path(name), Path(f"{name}.part")

        def download() -> None:
            with away_errors():
                self._client.fget_object(self._bucket, self._name(key), str(temporary), tmp_file_path=str(part))

        try:
            with self._errors(key):
                patiently(download, self._http.outage_timeout_s)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
            part.unlink(missing_ok=True)

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
        except ServerAwayError as error:
            waited = f" for {self._http.outage_timeout_s:g} s" if self._http.outage_timeout_s else ""
            raise StorageError(
                f"{self.uri(key)}: the server cannot be reached, or cannot serve{waited} ({error}); check the server "
                "and storage.endpoint, or raise storage.outage_timeout_s"
            ) from None
        except (MinioException, urllib3.exceptions.HTTPError) as error:
            raise StorageError(
                f"{self.uri(key)}: the server cannot be used ({type(error).__name__}); check storage.endpoint, "
                "storage.secure and its certificate"
            ) from None


def _bare(etag: str) -> str:
    return etag.strip('"')
