"""How a folder serves as artifact store: atomic writes, conditional creates and swaps."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from filelock import FileLock

from mimo_vl.errors import ArtifactNotFoundError, PreconditionFailedError, StorageError
from mimo_vl.storage.store import ObjectInfo

# Names with these beginnings are ours and never objects.
_TEMPORARY_PREFIX = ".tmp-"
_LOCK_DIR = ".locks"
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class LocalStore:
    """`file://` store. The etag of an object is the sha256 of its bytes."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()

    def uri(self, key: str = "") -> str:
        return self._path(key).as_uri()

    def local_path(self, key: str = "") -> Path | None:
        return self._path(key)

    def put_bytes(self, key: str, data: bytes, *, if_none_match: bool = False, if_match: str | None = None) -> str:
        path = self._path(key)
        if if_none_match:
            self._create(path, data)
        elif if_match is not None:
            with self._lock(key):
                self._require_etag(path, key, if_match)
                self._replace(path, lambda temporary: _write(temporary, data))
        else:
            self._replace(path, lambda temporary: _write(temporary, data))
        return _etag(data)

    def get_bytes(self, key: str) -> tuple[bytes, str]:
        try:
            data = self._path(key).read_bytes()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            raise ArtifactNotFoundError(f"no object {self.uri(key)}") from error
        return data, _etag(data)

    def put_file(self, key: str, path: Path) -> None:
        destination = self._path(key)
        if destination.exists() and destination.samefile(path):
            return
        self._replace(destination, lambda temporary: _copy(path, temporary))

    def get_file(self, key: str, path: Path) -> None:
        source = self._path(key)
        if not source.is_file():
            raise ArtifactNotFoundError(f"no object {self.uri(key)}")
        LocalStore(path.parent).put_file(path.name, source)

    def exists(self, key: str) -> bool:
        return self._path(key).is_file()

    def list(self, prefix: str = "") -> list[ObjectInfo]:
        start = self._path(prefix.rpartition("/")[0])
        infos = []
        for folder, subfolders, names in os.walk(start):
            subfolders[:] = [d for d in subfolders if d != _LOCK_DIR]
            for name in names:
                if not name.startswith(_TEMPORARY_PREFIX):
                    path = Path(folder) / name
                    infos.append((path.relative_to(self._root).as_posix(), path))
        return [ObjectInfo(key, path.stat().st_size) for key, path in sorted(infos) if key.startswith(prefix)]

    def delete(self, key: str) -> None:
        self._path(key).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        parts = PurePosixPath(key).parts
        if key.startswith("/") or ".." in parts:
            raise ValueError(f"store key {key!r} leaves the store; wanted a relative key without '..'")
        return self._root.joinpath(*parts)

    def _lock(self, key: str) -> FileLock:
        folder = self._root / _LOCK_DIR
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / hashlib.sha256(key.encode()).hexdigest()[:32])

    def _require_etag(self, path: Path, key: str, wanted: str) -> None:
        got = _etag(path.read_bytes()) if path.is_file() else None
        if got != wanted:
            raise PreconditionFailedError(f"{self.uri(key)} was changed by somebody else: etag {got}, wanted {wanted}")

    def _create(self, path: Path, data: bytes) -> None:
        """A hard link fails if the name exists and shows the whole content at once; O_EXCL shows an empty file."""
        with _named_disk_errors(path):
            temporary = _temporary_beside(path)
            try:
                _write(temporary, data)
                os.link(temporary, path)
            except FileExistsError as error:
                raise PreconditionFailedError(f"{path.as_uri()} exists already; somebody else created it") from error
            finally:
                temporary.unlink(missing_ok=True)
            _sync_folder(path.parent)

    def _replace(self, path: Path, fill: Callable[[Path], None]) -> None:
        with _named_disk_errors(path):
            temporary = _temporary_beside(path)
            try:
                fill(temporary)
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
            _sync_folder(path.parent)


def _temporary_beside(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=_TEMPORARY_PREFIX, dir=path.parent)
    os.close(handle)
    # mkstemp makes private files; the store is read by other users of the run.
    Path(name).chmod(0o644)
    return Path(name)


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _copy(source: Path, destination: Path) -> None:
    with source.open("rb") as reader, destination.open("wb") as writer:
        shutil.copyfileobj(reader, writer, 1 << 20)
        writer.flush()
        os.fsync(writer.fileno())


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _etag(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@contextmanager
def _named_disk_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise StorageError(f"disk full while writing {path}: free space or move storage.uri") from error
        raise
