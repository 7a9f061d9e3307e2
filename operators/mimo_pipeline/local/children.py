"""Launchers that were started: their records on disk, and which of their processes are alive.

A record is written before the launcher starts (pid 0) and again with its pid, so that a controller killed in between
still finds the process, by the stage facts in its environment.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil

from mimo_vl.schema.environment import VARIABLES
from operators.mimo_pipeline.api import ApiModel
from operators.mimo_pipeline.local.state import write_atomically

# Clocks of the kernel and of psutil may differ by a tick.
_SAME_START_S = 0.05


class Child(ApiModel):
    stage: str
    attempt: int
    key: str
    pid: int = 0
    started_at_s: float = 0.0
    """psutil.Process(pid).create_time(): tells this process from a later one with the same pid."""
    terminating_at_s: float | None = None
    created_at_s: float = 0.0
    """When the controller began to start it; 0 = not known."""
    ended_at_s: float | None = None
    """When the controller saw that nothing of it was left; None if none looked when it ended."""
    returncode: int | None = None
    """As seen by the controller that started it; an adopter cannot know it."""


class ChildRecords:
    """One file per attempt."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, child: Child) -> None:
        write_atomically(self._folder / f"{child.stage}-{child.attempt}.json", child.model_dump_json())

    def find(self, stage: str, attempt: int) -> Child | None:
        file = self._folder / f"{stage}-{attempt}.json"
        return Child.model_validate_json(file.read_bytes()) if file.is_file() else None

    def all(self) -> list[Child]:
        files = sorted(self._folder.glob("*.json")) if self._folder.is_dir() else []
        return [Child.model_validate_json(f.read_bytes()) for f in files]


def is_same_process(pid: int, started_at_s: float) -> bool:
    """True if this very process lives; a zombie does not."""
    if pid <= 0:
        return False
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - started_at_s) < _SAME_START_S
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def start_time_s(pid: int) -> float:
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return 0.0


def members(run_id: str, stage: str, attempt: int) -> list[psutil.Process]:
    """Every live process with this attempt in its environment: ranks, Ray daemons, whatever session they have."""
    wanted = {VARIABLES["run_id"]: run_id, VARIABLES["stage"]: stage, VARIABLES["attempt"]: str(attempt)}
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            env = process.environ()
        except (psutil.Error, OSError):
            # Ended just now, or another user's.
            continue
        if all(env.get(k) == v for k, v in wanted.items()):
            found.append(process)
    return found


def send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return
