"""Which attempt's output is the output of a stage: `<run>/<stage>/output.json`, moved by compare-and-swap only."""

from __future__ import annotations

from pydantic import ValidationError

from mimo_vl.errors import ArtifactNotFoundError, CorruptDataError, PreconditionFailedError
from mimo_vl.schema.manifest import OutputPointer
from mimo_vl.storage.layout import POINTER, join
from mimo_vl.storage.store import ArtifactStore


def read_pointer(store: ArtifactStore, stage: str) -> OutputPointer | None:
    """`stage` is layout.stage_prefix(...). None before the first publication."""
    return _read(store, stage)[0]


def move_pointer(store: ArtifactStore, stage: str, pointer: OutputPointer) -> None:
    """Point the stage at this attempt.

    Raises:
        PreconditionFailedError: somebody moved it at the same time, or it points at a later attempt already.
    """
    current, etag = _read(store, stage)
    if current is not None and current.attempt > pointer.attempt:
        raise PreconditionFailedError(
            f"{store.uri(join(stage, POINTER))} is at attempt {current.attempt}; {pointer.attempt} is too late"
        )
    store.put_bytes(join(stage, POINTER), pointer.to_json(), if_none_match=etag is None, if_match=etag)


def _read(store: ArtifactStore, stage: str) -> tuple[OutputPointer | None, str | None]:
    key = join(stage, POINTER)
    try:
        data, etag = store.get_bytes(key)
    except ArtifactNotFoundError:
        return None, None
    try:
        return OutputPointer.from_json(data), etag
    except ValidationError as error:
        raise CorruptDataError(f"{store.uri(key)} is no output pointer: {error}") from error
