"""When a checkpoint exists (complete.json, written last, with every file's digest), which is newest, which are kept."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from mimo_vl.errors import CorruptDataError, InputError
from mimo_vl.schema.manifest import CheckpointRecord
from mimo_vl.storage.digests import describe_files, verify_files
from mimo_vl.storage.layout import CHECKPOINTS_DIR, COMPLETE, join, step_dir
from mimo_vl.storage.local import LocalStore
from mimo_vl.storage.store import ArtifactStore

logger = logging.getLogger(__name__)

_STEP = re.compile(r"step-(\d+)")


def complete_checkpoint(directory: Path, *, step: int, stage_key: str, saved_at: str = "") -> CheckpointRecord:
    """Seal `directory`: nothing may be written into it afterwards. Call it after every rank has written its files."""
    files = describe_files(directory, exclude=(COMPLETE,), sync=True)
    if not files:
        raise InputError(f"checkpoint {directory} is empty; write the state before completing it")
    record = CheckpointRecord(step=step, stage_key=stage_key, files=files, saved_at=saved_at)
    LocalStore(directory).put_bytes(COMPLETE, record.to_json())
    return record


def newest_complete(directory: Path) -> Path | None:
    """`step-<k>` folder with the largest k that has its complete.json; None without any."""
    complete = [path for _, path in _steps(directory) if (path / COMPLETE).is_file()]
    return complete[-1] if complete else None


def read_checkpoint(checkpoint: Path) -> CheckpointRecord:
    path = checkpoint / COMPLETE
    if not path.is_file():
        raise InputError(f"checkpoint {checkpoint} has no {COMPLETE}: it was never finished")
    try:
        return CheckpointRecord.from_json(path.read_bytes())
    except ValidationError as error:
        raise CorruptDataError(f"checkpoint {checkpoint}: {COMPLETE} cannot be read: {error}") from error


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


def keep_last(directory: Path, count: int) -> list[Path]:
    """Remove all but the newest `count` complete checkpoints, and unfinished ones older than the newest complete one.

    Returns what was removed. The marker goes first, so a crash in between leaves no checkpoint that looks complete.
    """
    if count < 1:
        raise ValueError(f"keep_last: got {count}, wanted at least 1")
    steps = list(_steps(directory))
    complete = [(step, path) for step, path in steps if (path / COMPLETE).is_file()]
    if not complete:
        return []
    kept = {path for _, path in complete[-count:]}
    doomed = [path for step, path in steps if path not in kept and step < complete[-1][0]]
    for path in doomed:
        (path / COMPLETE).unlink(missing_ok=True)
        shutil.rmtree(path)
    return doomed


def upload_checkpoint(store: ArtifactStore, attempt: str, checkpoint: Path) -> None:
    """Copy a complete checkpoint to `<attempt>/checkpoints/step-<k>/`, its marker last. Nothing to do on file://."""
    record = read_checkpoint(checkpoint)
    prefix = join(attempt, CHECKPOINTS_DIR, step_dir(record.step))
    for entry in record.files:
        store.put_file(join(prefix, entry.path), checkpoint / entry.path)
    store.put_file(join(prefix, COMPLETE), checkpoint / COMPLETE)


def complete_steps(store: ArtifactStore, checkpoints: str) -> list[int]:
    """Steps with a complete checkpoint under the prefix `<attempt>/checkpoints`, ascending."""
    pattern = re.compile(re.escape(join(checkpoints)) + r"/?step-(\d+)/" + re.escape(COMPLETE))
    prefix = join(checkpoints)
    keys = store.list(prefix + "/" if prefix else "")
    return sorted(int(match[1]) for info in keys if (match := pattern.fullmatch(info.key)))


def download_newest(store: ArtifactStore, checkpoints: str, folder: Path) -> None:
    """Fetch the newest complete checkpoint under the prefix into `folder/step-<k>`; nothing happens without any."""
    steps = complete_steps(store, checkpoints)
    if not steps:
        return
    name = step_dir(steps[-1])
    marker, _ = store.get_bytes(join(checkpoints, name, COMPLETE))
    for entry in CheckpointRecord.from_json(marker).files:
        if entry.path.startswith("/") or ".." in Path(entry.path).parts:
            raise CorruptDataError(f"checkpoint {store.uri(checkpoints)}: file path {entry.path!r} leaves it")
        target = folder / name / entry.path
        target.parent.mkdir(parents=True, exist_ok=True)
        store.get_file(join(checkpoints, name, entry.path), target)
    LocalStore(folder).put_bytes(join(name, COMPLETE), marker)


def _steps(directory: Path) -> Iterator[tuple[int, Path]]:
    """(k, path) of every `step-<k>` folder, ascending in k."""
    if not directory.is_dir():
        return
    found = [(int(m[1]), p) for p in directory.iterdir() if p.is_dir() and (m := _STEP.fullmatch(p.name))]
    yield from sorted(found)
