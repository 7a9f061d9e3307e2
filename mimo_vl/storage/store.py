"""What every artifact store can do, and which one a configuration or a URI means."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable
from urllib.parse import unquote, urlsplit

from mimo_vl.config.storage import StorageConfig
from mimo_vl.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """Of one S3 store. Its text holds no secret."""

    access_key: str
    secret_key: str = field(repr=False)


class ObjectInfo(NamedTuple):
    key: str
    size_bytes: int


@runtime_checkable
class ArtifactStore(Protocol):
    """A flat map from keys (`a/b/c`, no leading slash) to bytes, rooted at a URI.

    Etags are opaque: they are equal exactly if nobody wrote in between, and only the store that gave one can read it.
    """

    def uri(self, key: str = "") -> str:
        """Absolute URI of a key or key prefix; "" is the root."""
        ...

    def put_bytes(self, key: str, data: bytes, *, if_none_match: bool = False, if_match: str | None = None) -> str:
        """Write all of `data` or nothing; returns the new etag.

        `if_none_match`: only if the key does not exist. `if_match`: only if the key's etag still is this one.

        Raises:
            PreconditionFailedError: somebody else wrote first.
        """
        ...

    def get_bytes(self, key: str) -> tuple[bytes, str]:
        """Content and etag. Raises ArtifactNotFoundError."""
        ...

    def put_file(self, key: str, path: Path) -> None: ...

    def get_file(self, key: str, path: Path) -> None:
        """Download to `path`, which appears whole or not at all. Raises ArtifactNotFoundError."""
        ...

    def exists(self, key: str) -> bool: ...

    def list(self, prefix: str = "") -> list[ObjectInfo]:
        """Every object whose key starts with `prefix`, sorted by key."""
        ...

    def delete(self, key: str) -> None:
        """Remove the key; no error if it does not exist."""
        ...

    def local_path(self, key: str = "") -> Path | None:
        """The folder or file of this key if the store is a folder of this machine, else None."""
        ...


def open_store(config: StorageConfig, *, default_root: Path | None = None) -> ArtifactStore:
    """The store of a pipeline. `default_root` is used by `kind: file` without `uri`."""
    if config.uri:
        scheme = urlsplit(config.uri).scheme
        if scheme != config.kind:
            raise ConfigError(
                f"storage.uri: got {config.uri!r} with storage.kind {config.kind!r}; "
                f"wanted a {config.kind}:// URI (or change storage.kind)"
            )
        return store_for_uri(config.uri, config)
    if config.kind == "s3":
        raise ConfigError("storage.uri: empty with storage.kind 's3'; give s3://bucket/prefix")
    if default_root is None:
        raise ConfigError("storage.uri: empty and no run folder is known; give file:///folder")
    return store_for_uri(default_root.resolve().as_uri())


def store_for_uri(
    uri: str, config: StorageConfig | None = None, credentials: Credentials | None = None
) -> ArtifactStore:
    """A store whose root is `uri`.

    Args:
        config: endpoint, region and time limits of an S3 server.
        credentials: for it; None = those of AWS_* or MINIO_* variables.
    """
    parts = urlsplit(uri)
    if parts.scheme == "file":
        from mimo_vl.storage.local import LocalStore

        if parts.netloc not in ("", "localhost"):
            raise ConfigError(f"store URI {uri!r} names host {parts.netloc!r}; wanted file:///absolute/folder")
        return LocalStore(Path(unquote(parts.path)))
    if parts.scheme == "s3":
        from mimo_vl.storage.s3 import build_s3_store

        return build_s3_store(uri, config or StorageConfig(kind="s3"), credentials)
    raise ConfigError(f"store URI {uri!r} has scheme {parts.scheme!r}; wanted file:// or s3://")
