"""sha256 of files, computed once per process for an unchanged file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from mimo_vl.errors import DigestMismatchError, InputError
from mimo_vl.schema.manifest import FileEntry

# (device, inode, size, mtime_ns) -> sha256. A file that changes gets another mtime or inode.
_CACHE: dict[tuple[int, int, int, int], str] = {}


def file_sha256(path: Path) -> str:
    """Hex digest. Raises FileNotFoundError."""
    stat = path.stat()
    identity = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)
    if identity not in _CACHE:
        with path.open("rb") as file:
            _CACHE[identity] = hashlib.file_digest(file, "sha256").hexdigest()
    return _CACHE[identity]


def bytes_sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def list_files(directory: Path, *, exclude: Iterable[str] = ()) -> list[str]:
    """Every file below `directory` by its path in it, sorted.

    Raises:
        InputError: a symbolic link: what it points to would not be part of the artifact.
    """
    names = []
    for path in directory.rglob("*"):
        if path.is_symlink():
            raise InputError(f"{path} is a symbolic link; an artifact holds files only, copy its target")
        if path.is_file():
            names.append(path.relative_to(directory).as_posix())
    return sorted(set(names) - set(exclude))


def describe_file(directory: Path, name: str, *, sync: bool = False) -> FileEntry:
    """`sync` writes the file through to the disk first."""
    path = directory / name
    if sync:
        _sync(path)
    return FileEntry(path=name, size_bytes=path.stat().st_size, sha256=file_sha256(path))


def describe_files(directory: Path) -> tuple[FileEntry, ...]:
    """Every file below `directory`, sorted by path."""
    return tuple(describe_file(directory, name) for name in list_files(directory))


def verify_files(directory: Path, files: Iterable[FileEntry], what: str) -> None:
    """Compare each listed file with the disk. `what` names the artifact in messages.

    Raises:
        InputError: a file is missing or truncated.
        DigestMismatchError: a file has other bytes than recorded.
    """
    for entry in files:
        path = directory / entry.path
        if not path.is_file():
            raise InputError(f"{what}: file {entry.path} is missing at {path}; restore it or re-run its stage")
        size = path.stat().st_size
        if size < entry.size_bytes:
            raise InputError(
                f"{what}: file {entry.path} is truncated: {size} bytes, wanted {entry.size_bytes}; "
                "restore it or re-run its stage"
            )
        got = file_sha256(path)
        if got != entry.sha256:
            raise DigestMismatchError(
                f"{what}: file {entry.path} has sha256 {got}, wanted {entry.sha256}; restore it or re-run its stage"
            )


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
