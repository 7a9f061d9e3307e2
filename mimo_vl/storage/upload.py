"""How do the files that several processes wrote become one list of entries in the store?

Every process puts its own share of a folder; whoever seals the whole joins the shares. On a file:// store the folder
lies where its files belong, and nothing is copied.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mimo_vl.errors import CorruptDataError
from mimo_vl.schema.manifest import FileEntry
from mimo_vl.storage.digests import describe_file, list_files
from mimo_vl.storage.layout import join
from mimo_vl.storage.store import ArtifactStore

# Per process: files of a checkpoint are large, and several processes of a node upload at the same time.
_NUM_CONNECTIONS = 4


def upload_files(
    store: ArtifactStore, prefix: str, directory: Path, *, exclude: Iterable[str] = (), rank: int = 0, size: int = 1
) -> tuple[FileEntry, ...]:
    """Put this process's share of the files below `directory` under `prefix`; returns their entries, sorted by path.

    Args:
        exclude: paths that are no part of it.
        rank, size: this one of so many processes that see the same folder, after all of them have written.
    """
    names = list_files(directory, exclude=exclude)[rank::size]

    def upload(name: str) -> FileEntry:
        entry = describe_file(directory, name, sync=True)
        store.put_file(join(prefix, name), directory / name)
        return entry

    with ThreadPoolExecutor(_NUM_CONNECTIONS, thread_name_prefix="upload") as pool:
        return tuple(pool.map(upload, names))


def placed_under(folder: str, entries: Iterable[FileEntry]) -> tuple[FileEntry, ...]:
    """The entries of a subfolder as entries of the folder above."""
    return tuple(entry.model_copy(update={"path": join(folder, entry.path)}) for entry in entries)


def join_entries(shares: Iterable[Iterable[FileEntry]]) -> tuple[FileEntry, ...]:
    """All shares, sorted by path; the same file told twice is one.

    Raises:
        CorruptDataError: two processes wrote different files under one path.
    """
    by_path: dict[str, FileEntry] = {}
    for share in shares:
        for entry in share:
            if by_path.setdefault(entry.path, entry) != entry:
                raise CorruptDataError(
                    f"file {entry.path} was written by two processes with different bytes: sha256 {entry.sha256} and "
                    f"{by_path[entry.path].sha256}; give each process paths of its own"
                )
    return tuple(by_path[path] for path in sorted(by_path))
