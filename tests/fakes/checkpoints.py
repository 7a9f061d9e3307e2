"""A checkpoint of one process, sealed in a folder."""

from __future__ import annotations

from pathlib import Path

from mimo_vl.storage.checkpoints import seal_checkpoint, upload_checkpoint
from mimo_vl.storage.local import LocalStore


def complete(directory: Path, *, step: int, stage_key: str) -> None:
    store = LocalStore(directory)
    seal_checkpoint(store, "", step=step, stage_key=stage_key, files=upload_checkpoint(store, "", directory))
