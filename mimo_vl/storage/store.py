"""What every artifact store can do, and which one a configuration or a URI means."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable
from urllib.parse import unquote, urlsplit

from mimo_vl.config.storage import StorageConfig
from mimo_vl.errors import ConfigError


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


def store_for_uri(uri: str, config: StorageConfig | None = None) -> ArtifactStore:
    """A store whose root is `uri`. `config` gives the endpoint, region and time limit of an S3 server."""
    parts = urlsplit(uri)
    if parts.scheme == "file":
        from mimo_vl.storage.local import LocalStore

        if parts.netloc not in ("", "localhost"):
            raise ConfigError(f"store URI {uri!r} names host {parts.netloc!r}; wanted file:///absolute/folder")
        return LocalStore(Path(unquote(parts.path)))
    if parts.scheme == "s3":
        from mimo_vl.storage.s3 import build_s3_store

        return build_s3_store(uri, config or StorageConfig(kind="s3"))
    raise ConfigError(f"store URI {uri!r} has scheme {parts.scheme!r}; wanted file:// or s3://")
