"""How an exception becomes an exit code, a reason in one word and a message for a person; handed to the launcher."""

from __future__ import annotations

import errno
from pathlib import Path

from pydantic import ValidationError

from mimo_vl.errors import EXIT_RETRY, MimoError
from mimo_vl.schema.record import Record
from mimo_vl.storage.local import LocalStore

OOM = "OOMKilled"
# Long messages (validation errors, native traces) do not fit into a status field.
_MAX_MESSAGE_CHARS = 4000


class Failure(Record):
    exit_code: int
    reason: str
    message: str
    # False: a bug or something nobody foresaw; the log has its traceback.
    is_expected: bool


def describe_failure(error: BaseException) -> Failure:
    message = (str(error).strip() or type(error).__name__)[:_MAX_MESSAGE_CHARS]
    name = type(error).__name__
    if isinstance(error, MimoError):
        return Failure(exit_code=error.exit_code, reason=name, message=message, is_expected=True)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = f" while writing {error.filename}" if error.filename else ""
        text = f"disk full{where}: free space or move storage.uri"
        return Failure(exit_code=EXIT_RETRY, reason="DiskFull", message=text, is_expected=True)
    # torch.OutOfMemoryError by name: this module must not load torch.
    if isinstance(error, MemoryError) or name == "OutOfMemoryError":
        text = f"out of memory ({message}); give the stage more memory or shorter rows"
        return Failure(exit_code=EXIT_RETRY, reason=OOM, message=text, is_expected=True)
    return Failure(exit_code=EXIT_RETRY, reason=name, message=f"{name}: {message}", is_expected=False)


def write_failure(folder: Path, rank: int, failure: Failure) -> None:
    """`rank` counts on this node."""
    LocalStore(folder).put_bytes(f"rank-{rank}.json", failure.to_json())


def read_failure(folder: Path, rank: int) -> Failure | None:
    """None if the rank left none: it was killed, or crashed outside Python."""
    try:
        return Failure.from_json((folder / f"rank-{rank}.json").read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
