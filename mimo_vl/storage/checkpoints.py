"""When a checkpoint exists (complete.json, written last, with every file's digest), which is newest, which are kept.

Its files may come from processes on several nodes: each uploads what it wrote, one seals the whole.
"""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from filelock import FileLock
from pydantic import ValidationError

from mimo_vl.errors import CorruptDataError, InputError
from mimo_vl.schema.manifest import CheckpointRecord, FileEntry
from mimo_vl.storage.digests import file_sha256, verify_files
from mimo_vl.storage.layout import COMPLETE, join, step_dir
from mimo_vl.storage.local import LocalStore
from mimo_vl.storage.store import ArtifactStore
from mimo_vl.storage.upload import upload_files

logger = logging.getLogger(__name__)

_STEP = re.compile(r"step-(\d+)")


def upload_checkpoint(
    store: ArtifactStore, checkpoint: str, directory: Path, *, rank: int = 0, size: int = 1
) -> tuple[FileEntry, ...]:
    """Put this process's share of a checkpoint's files under the prefix `…/step-<k>`; see upload_files."""
    return upload_files(store, checkpoint, directory, exclude=(COMPLETE,), rank=rank, size=size)


def seal_checkpoint(
    store: ArtifactStore,
    checkpoint: str,
    *,
    step: int,
    stage_key: str,
    files: Iterable[FileEntry],
    saved_at: str = "",
) -> CheckpointRecord:
    """Write complete.json over all uploaded files; nothing may be written into the checkpoint afterwards."""
    record = CheckpointRecord(step=step, stage_key=stage_key, files=tuple(files), saved_at=saved_at)
    if not record.files:
        raise InputError(f"checkpoint {store.uri(checkpoint)} is empty; write the state before sealing it")
    store.put_bytes(join(checkpoint, COMPLETE), record.to_json())
    return record


def newest_complete(directory: Path) -> Path | None:
    """`step-<k>` folder with the largest k that has its complete.json; None without any."""
    complete = [path for _, path in _steps(directory) if (path / COMPLETE).is_file()]
    return complete[-1] if complete else None


def read_checkpoint(checkpoint: Path) -> CheckpointRecord:
    path = checkpoint / COMPLETE
    if not path.is_file():
        raise InputError(f"checkpoint {checkpoint} has no {COMPLETE}: it was never finished")
    return _parse(path.read_bytes(), str(checkpoint))


def verify_checkpoint(checkpoint: Path, *, stage_key: str = "") -> CheckpointRecord:
    """Compare every file with complete.json; nothing of a checkpoint may be unpickled before.

    Raises:
        InputError: unfinished, of another stage key, or a file is missing or truncated.
        DigestMismatchError: a file has other bytes than recorded.
    """
    record = read_checkpoint(checkpoint)
    if stage_key and record.stage_key != stage_key:
        raise InputError(f"checkpoint {checkpoint} has stage key {record.stage_key}, wanted {stage_key}")
    verify_files(checkpoint, record.files, f"checkpoint {checkpoint}")
    return record


def keep_last(store: ArtifactStore, checkpoints: str, count: int) -> list[int]:
    """Remove all but the newest `count` complete checkpoints, and unfinished ones older than the newest complete one.

    Returns the removed steps. The marker goes first, so a crash in between leaves no checkpoint that looks complete.
    """
    if count < 1:
        raise ValueError(f"keep_last: got {count}, wanted at least 1")
    complete = complete_steps(store, checkpoints)
    if not complete:
        return []
    doomed = [s for s in _all_steps(store, checkpoints) if s not in complete[-count:] and s < complete[-1]]
    for step in doomed:
        prefix = join(checkpoints, step_dir(step))
        store.delete(join(prefix, COMPLETE))
        local = store.local_path(prefix)
        if local is not None:
            shutil.rmtree(local)
        else:
            for info in store.list(prefix + "/"):
                store.delete(info.key)
    return doomed


def complete_steps(store: ArtifactStore, checkpoints: str) -> list[int]:
    """Steps with a complete checkpoint under the prefix `<attempt>/checkpoints`, ascending."""
    names = _names(store, checkpoints)
    return sorted({int(m[1]) for name in names if (m := re.fullmatch(rf"step-(\d+)/{re.escape(COMPLETE)}", name))})


def download_newest(store: ArtifactStore, checkpoints: str, folder: Path) -> Path | None:
    """The newest complete checkpoint under the prefix as `folder/step-<k>`; None without any."""
    steps = complete_steps(store, checkpoints)
    return download_checkpoint(store, join(checkpoints, step_dir(steps[-1])), folder) if steps else None


def download_checkpoint(store: ArtifactStore, checkpoint: str, folder: Path) -> Path:
    """The complete checkpoint under the prefix `…/step-<k>` as `folder/step-<k>`.

    Several processes of a node may ask at the same time: one downloads, the others find the files.
    """
    marker, _ = store.get_bytes(join(checkpoint, COMPLETE))
    record = _parse(marker, store.uri(checkpoint))
    target = folder / step_dir(record.step)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f"{target.name}.lock"):
        for entry in record.files:
            if entry.path.startswith("/") or ".." in Path(entry.path).parts:
                raise CorruptDataError(f"checkpoint {store.uri(checkpoint)}: file path {entry.path!r} leaves it")
            path = target / entry.path
            if not (path.is_file() and file_sha256(path) == entry.sha256):
                path.parent.mkdir(parents=True, exist_ok=True)
                store.get_file(join(checkpoint, entry.path), path)
        LocalStore(target).put_bytes(COMPLETE, marker)
    return target


def _parse(marker: bytes, where: str) -> CheckpointRecord:
    try:
        return CheckpointRecord.from_json(marker)
    except ValidationError as error:
        raise CorruptDataError(f"checkpoint {where}: {COMPLETE} cannot be read: {error}") from error


def _names(store: ArtifactStore, checkpoints: str) -> list[str]:
    """Objects under the prefix, by their path in it."""
    prefix = f"{join(checkpoints)}/" if join(checkpoints) else ""
    return [info.key.removeprefix(prefix) for info in store.list(prefix)]


def _all_steps(store: ArtifactStore, checkpoints: str) -> list[int]:
    local = store.local_path(checkpoints)
    if local is not None:
        # An empty folder is no object, but it is left over all the same.
        return [step for step, _ in _steps(local)]
    names = _names(store, checkpoints)
    return sorted({int(m[1]) for name in names if (m := re.match(r"step-(\d+)/", name))})


def _steps(directory: Path) -> Iterator[tuple[int, Path]]:
    """(k, path) of every `step-<k>` folder, ascending in k."""
    if not directory.is_dir():
        return
    found = [(int(m[1]), p) for p in directory.iterdir() if p.is_dir() and (m := _STEP.fullmatch(p.name))]
    yield from sorted(found)
