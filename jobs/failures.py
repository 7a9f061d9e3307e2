"""How an exception becomes an exit code, a reason in one word and a message for a person; handed to the launcher."""

from __future__ import annotations

import errno
import re
import time
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from mimo_vl.errors import EXIT_RETRY, MimoError
from mimo_vl.schema.record import Record
from mimo_vl.storage.local import LocalStore

OOM = "OOMKilled"
# Long messages (validation errors, native traces) do not fit into a status field.
_MAX_MESSAGE_CHARS = 4000


# torch's zip writer, which DeepSpeed's checkpoints go through, only tells that fewer bytes were written than it gave.
_DISK_FULL = re.compile(
    r"No space left on device|Disk quota exceeded|database or disk is full|inline_container\.cc.* unexpected pos \d+"
)


class Failure(Record):
    exit_code: int
    reason: str
    message: str
    # False: a bug or something nobody foresaw; the log has its traceback.
    is_expected: bool
    # By the clock that all processes of a machine share (time.monotonic): which rank failed first?
    failed_at_s: float


def describe_failure(error: BaseException) -> Failure:
    message = (str(error).strip() or type(error).__name__)[:_MAX_MESSAGE_CHARS]
    name = type(error).__name__
    if isinstance(error, MimoError):
        return _failure(error.exit_code, name, message, is_expected=True)
    full = next((e for e in _causes(error) if _is_disk_full(e)), None)
    if full is not None:
        filename = getattr(full, "filename", None)
        where = f" while writing {filename}" if filename else "" if isinstance(full, OSError) else f" ({message})"
        text = f"disk full{where}: free space or move storage.uri"
        return _failure(EXIT_RETRY, "DiskFull", text, is_expected=True)
    # torch.OutOfMemoryError by name: this module must not load torch.
    if isinstance(error, MemoryError) or name == "OutOfMemoryError":
        text = f"out of memory ({message}); give the stage more memory or shorter rows"
        return _failure(EXIT_RETRY, OOM, text, is_expected=True)
    return _failure(EXIT_RETRY, name, f"{name}: {message}", is_expected=False)


def _failure(exit_code: int, reason: str, message: str, *, is_expected: bool) -> Failure:
    return Failure(
        exit_code=exit_code, reason=reason, message=message, is_expected=is_expected, failed_at_s=time.monotonic()
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, what caused it, and so on."""
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)


def _is_disk_full(error: BaseException) -> bool:
    """Native writers (torch, safetensors, SQLite) keep no errno, only words."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return _DISK_FULL.search(str(error)) is not None


def write_failure(folder: Path, rank: int, failure: Failure) -> None:
    """`rank` counts on this node."""
    LocalStore(folder).put_bytes(f"rank-{rank}.json", failure.to_json())


def read_failure(folder: Path, rank: int) -> Failure | None:
    """None if the rank left none: it was killed, or crashed outside Python."""
    try:
        return Failure.from_json((folder / f"rank-{rank}.json").read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
