"""What a finished output consists of, and the small records by which a process and its controller talk."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from mimo_vl.canonical import canonical_json
from mimo_vl.schema.record import Record


class FileEntry(Record):
    path: str
    size_bytes: int
    sha256: str


class InputRef(Record):
    """An input as recorded: URI prefix of the artifact and its content digest."""

    uri: str
    digest: str


class Manifest(Record):
    """Written last: without it an output does not exist. `content_digest` covers `files` only, never times."""

    version: Literal[1] = 1
    stage: str
    attempt: int
    run_id: str
    stage_key: str
    content_digest: str
    files: tuple[FileEntry, ...]
    inputs: dict[str, InputRef] = Field(default_factory=dict)
    config_digest: str = ""
    code_digest: str = ""
    # Reference of the image that the attempt ran in, and its digest where the reference has one; "" without containers.
    image: str = ""
    image_digest: str = ""
    metrics: dict[str, float] = Field(default_factory=dict)
    tracking: dict[str, str] = Field(default_factory=dict)
    started_at: str = ""
    finished_at: str = ""


class Claim(Record):
    """`attempt-<n>/claim.json`, created conditionally before anything else is written: one process owns an attempt."""

    version: Literal[1] = 1
    owner: str
    hostname: str
    pid: int
    created_at: str
    # Seconds since the epoch, as psutil.Process(pid).create_time(): tells this process from a later one with its pid.
    process_start_time_s: float = 0.0
    stage_key: str = ""


class Revocation(Record):
    """`attempt-<n>/revoked.json`, written by the controller: this attempt may publish nothing any more."""

    version: Literal[1] = 1
    reason: str
    created_at: str = ""


class OutputPointer(Record):
    """`<stage>/output.json`: the attempt whose output is the stage's output. Moved by If-Match only."""

    version: Literal[1] = 1
    attempt: int
    uri: str
    content_digest: str
    stage_key: str


class KeyEntry(Record):
    """`keys/<stage key>.json`: where an output of this stage key lies."""

    version: Literal[1] = 1
    stage: str
    stage_key: str
    run_id: str
    uri: str
    content_digest: str


class CheckpointRecord(Record):
    """`checkpoints/step-<k>/complete.json`, written last: without it the checkpoint does not exist."""

    version: Literal[1] = 1
    step: int
    stage_key: str
    files: tuple[FileEntry, ...]
    saved_at: str = ""


class ExitRecord(Record):
    """Left by the launcher: the mapped exit code, the ranks' own codes and the message a person should read."""

    version: Literal[1] = 1
    exit_code: int
    rank_exit_codes: dict[str, int] = Field(default_factory=dict)
    reason: str = ""
    message: str = ""
    finished_at: str = ""
    # Largest proportional set size of the launcher and all its descendants, sampled while running.
    peak_pss_bytes: int = 0


class Progress(Record):
    """Overwritten while a stage runs; the controller shows it. `total` 0 = unknown."""

    version: Literal[1] = 1
    step: int
    total: int
    unit: str = "steps"
    message: str = ""
    metrics: dict[str, float] = Field(default_factory=dict)


def content_digest(files: Iterable[FileEntry]) -> str:
    """sha256 over the sorted (path, bytes, sha256) of an output's files; independent of times and of the manifest."""
    rows = sorted((f.path, f.size_bytes, f.sha256) for f in files)
    return "sha256:" + hashlib.sha256(canonical_json(rows)).hexdigest()
