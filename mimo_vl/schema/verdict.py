"""How an attempt ended without an output: the controller's verdict, which every window shows in the same words."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from mimo_vl.errors import EXIT_RESUME
from mimo_vl.schema.manifest import ExitRecord
from mimo_vl.schema.record import Record

KILLED = "Killed"
"""Reason of an attempt that a signal ended."""


class AttemptEnd(StrEnum):
    FAILED = "Failed"
    KILLED = "Killed"
    """Its processes, its pods or its machine were taken away, or a signal ended it."""
    INTERRUPTED = "Interrupted"
    """It ended because somebody asked it to, or to be resumed."""


class AttemptVerdict(Record):
    """`attempt-<n>/verdict.json`, created once by the controller, after the last process and before a next attempt."""

    version: Literal[1] = 1
    state: AttemptEnd
    reason: str
    message: str
    # None = its processes left none.
    exit_code: int | None = None


def provisional_verdict(record: ExitRecord | None) -> AttemptVerdict:
    """What is said as long as the controller has not judged: what the launcher left; None = it left nothing."""
    if record is None:
        message = "its process was killed, or its machine was lost, before it could say why it ended"
        return AttemptVerdict(state=AttemptEnd.KILLED, reason="NoExitRecord", message=message)
    return AttemptVerdict(state=_end(record), reason=record.reason, message=record.message, exit_code=record.exit_code)


def _end(record: ExitRecord) -> AttemptEnd:
    if record.exit_code == EXIT_RESUME:
        return AttemptEnd.INTERRUPTED
    return AttemptEnd.KILLED if record.reason == KILLED else AttemptEnd.FAILED
