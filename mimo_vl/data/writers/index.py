"""Layout of a dataset's index: two tables of int64, memory-mapped by readers, and the `dataset.json` that seals them.

A dataset folder: shard-00000.tar (WebDataset: <key>.json, <key>.<i>.png ...), shard-00000.done.json (completion
marker), index.bin, media.bin, dataset.json (written last: without it the dataset does not exist).
"""

from __future__ import annotations

from enum import IntEnum
from typing import Literal

from mimo_vl.schema.record import Record

INDEX_FILE, MEDIA_FILE, DATASET_FILE = "index.bin", "media.bin", "dataset.json"


class Column(IntEnum):
    """Columns of index.bin, one row per sample. `media_start`: its first row in media.bin. `crc32`: of JSON + media."""

    SHARD = 0
    JSON_OFFSET = 1
    JSON_BYTES = 2
    MEDIA_START = 3
    NUM_MEDIA = 4
    NUM_TOKENS = 5
    NUM_PATCHES = 6
    CRC32 = 7


# Columns of media.bin: offset and length in the sample's shard.
MEDIA_COLUMNS = 2


class ShardEntry(Record):
    path: str
    size_bytes: int
    sha256: str
    num_samples: int


class ShardMarker(Record):
    """Written when a shard is complete: what it holds and what was dropped on the way, by reason.

    digests: of the content of each record, to find duplicates in other shards.
    """

    version: Literal[1] = 1
    shard: ShardEntry
    num_seen: int
    dropped: dict[str, int]
    index: tuple[tuple[int, ...], ...]
    media: tuple[tuple[int, int], ...]
    digests: tuple[str, ...]


class DatasetInfo(Record):
    version: Literal[1] = 1
    name: str
    num_samples: int
    num_tokens: int
    num_patches: int
    index_sha256: str
    media_sha256: str
    shards: tuple[ShardEntry, ...]


def shard_name(number: int) -> str:
    return f"shard-{number:05d}.tar"


def marker_name(number: int) -> str:
    return f"shard-{number:05d}.done.json"
