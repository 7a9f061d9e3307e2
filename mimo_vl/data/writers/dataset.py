"""How complete shards become a dataset: one index over all of them, sealed by dataset.json."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mimo_vl.data.record import sha256_hex
from mimo_vl.data.writers.index import (
    DATASET_FILE,
    INDEX_FILE,
    MEDIA_COLUMNS,
    MEDIA_FILE,
    Column,
    DatasetInfo,
    ShardMarker,
    marker_name,
)
from mimo_vl.data.writers.shard import write_atomically


def seal_dataset(directory: Path, name: str, markers: Sequence[ShardMarker]) -> DatasetInfo:
    """Write index.bin, media.bin and, last, dataset.json. Of records that shards share the index keeps the first."""
    index = np.array([row for m in markers for row in m.index], dtype=np.int64).reshape(-1, len(Column))
    media = np.array([row for m in markers for row in m.media], dtype=np.int64).reshape(-1, MEDIA_COLUMNS)
    # A shard counts its media from 0; the table of the dataset goes on counting.
    starts = np.cumsum([0, *(len(m.media) for m in markers)])[:-1]
    index[:, Column.MEDIA_START] += np.repeat(starts, [len(m.index) for m in markers])
    index = index[first_occurrences(markers)]
    index_bytes, media_bytes = index.astype("<i8").tobytes(), media.astype("<i8").tobytes()
    write_atomically(directory / INDEX_FILE, index_bytes)
    write_atomically(directory / MEDIA_FILE, media_bytes)
    info = DatasetInfo(
        name=name,
        num_samples=len(index),
        num_tokens=int(index[:, Column.NUM_TOKENS].sum()),
        num_patches=int(index[:, Column.NUM_PATCHES].sum()),
        index_sha256=sha256_hex(index_bytes),
        media_sha256=sha256_hex(media_bytes),
        shards=tuple(m.shard for m in markers),
    )
    write_atomically(directory / DATASET_FILE, info.to_json())
    return info


def first_occurrences(markers: Sequence[ShardMarker]) -> list[int]:
    """Numbers, over all shards in their order, of the records whose content no earlier shard has."""
    seen: set[str] = set()
    found: list[int] = []
    start = 0
    for marker in markers:
        found += [start + i for i, digest in enumerate(marker.digests) if digest not in seen]
        seen.update(marker.digests)
        start += len(marker.digests)
    return found


def read_marker(directory: Path, number: int) -> ShardMarker | None:
    """The marker of a complete shard; None if the shard is missing, incomplete or not the one that was marked."""
    path = directory / marker_name(number)
    if not path.is_file():
        return None
    marker = ShardMarker.from_json(path.read_bytes())
    shard = directory / marker.shard.path
    if not shard.is_file() or shard.stat().st_size != marker.shard.size_bytes:
        return None
    with shard.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return marker if digest == marker.shard.sha256 else None
