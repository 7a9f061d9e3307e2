"""The exit record where the kubelet reads it: the end of a container's status, which outlives its log."""

from __future__ import annotations

import bisect
import logging
from pathlib import Path

from mimo_vl.schema.manifest import ExitRecord

logger = logging.getLogger(__name__)

_TERMINATION_LOG = Path("/dev/termination-log")
# The kubelet cuts what is longer: half a record is none.
MAX_BYTES = 4096
_CUT = " …"


def write_termination_log(record: ExitRecord, path: Path = _TERMINATION_LOG) -> None:
    """Nothing outside of a container. Never raises: the exit code says the most important."""
    if not path.exists():
        return
    try:
        path.write_bytes(fitted(record).to_json())
    except OSError as error:
        logger.warning("%s not written: %s", path, error)


def fitted(record: ExitRecord) -> ExitRecord:
    """With as much of the message as fits into MAX_BYTES of JSON, in which a character takes up to six bytes."""
    if _fits(record):
        return record
    lengths = range(len(record.message) + 1)
    # The first length that is too long; one less fits.
    too_long = bisect.bisect_left(lengths, True, key=lambda length: not _fits(_cut(record, length)))
    return _cut(record, max(0, too_long - 1))


def _cut(record: ExitRecord, length: int) -> ExitRecord:
    return record.model_copy(update={"message": record.message[:length].rstrip() + _CUT})


def _fits(record: ExitRecord) -> bool:
    return len(record.to_json()) <= MAX_BYTES
