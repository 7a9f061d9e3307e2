"""How records become one tar shard: WebDataset's naming, deterministic bytes, a completion marker written last."""

from __future__ import annotations

import hashlib
import os
import tarfile
import zlib
from pathlib import Path
from typing import BinaryIO

from mimo_vl.data.record import Record, content_digest
from mimo_vl.data.step import Tally
from mimo_vl.data.writers.index import ShardEntry, ShardMarker, marker_name, shard_name

_BLOCK = tarfile.BLOCKSIZE
_EXTENSION = {"image": "png", "video": "mp4"}


class ShardWriter:
    """Writes to a temporary name; `close` renames the shard and then writes its marker."""

    def __init__(self, directory: Path, number: int) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory, self._number = directory, number
        self._path = directory / shard_name(number)
        self._temporary = self._path.with_suffix(".tar.tmp")
        self._file: BinaryIO = self._temporary.open("wb")
        self._hash = hashlib.sha256()
        self._offset = 0
        self._index: list[tuple[int, ...]] = []
        self._media: list[tuple[int, int]] = []
        self._digests: list[str] = []

    def write(self, record: Record, *, num_tokens: int, num_patches: int) -> None:
        sample = record.sample
        text = sample.to_json()
        key = sample.id.replace(".", "_")
        crc = zlib.crc32(text)
        json_offset = self._add(f"{key}.json", text)
        media_start = len(self._media)
        for i, (ref, data) in enumerate(zip(sample.media, record.media, strict=True)):
            self._media.append((self._add(f"{key}.{i}.{_EXTENSION[ref.kind]}", data), len(data)))
            crc = zlib.crc32(data, crc)
        row = (json_offset, len(text), media_start, len(sample.media), num_tokens, num_patches, crc)
        self._index.append((self._number, *row))
        self._digests.append(content_digest(record))

    def close(self, tally: Tally) -> ShardMarker:
        self._put(b"\0" * (2 * _BLOCK))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._temporary.replace(self._path)
        shard = ShardEntry(
            path=self._path.name,
            size_bytes=self._offset,
            sha256=self._hash.hexdigest(),
            num_samples=len(self._index),
        )
        marker = ShardMarker(
            shard=shard,
            num_seen=tally.seen,
            dropped=dict(sorted(tally.dropped.items())),
            index=tuple(self._index),
            media=tuple(self._media),
            digests=tuple(self._digests),
        )
        write_atomically(self._directory / marker_name(self._number), marker.to_json())
        return marker

    def _add(self, name: str, data: bytes) -> int:
        info = tarfile.TarInfo(name)
        info.size, info.mode = len(data), 0o644
        self._put(info.tobuf(tarfile.USTAR_FORMAT))
        offset = self._offset
        self._put(data)
        self._put(b"\0" * (-len(data) % _BLOCK))
        return offset

    def _put(self, data: bytes) -> None:
        self._file.write(data)
        self._hash.update(data)
        self._offset += len(data)


def write_atomically(path: Path, data: bytes) -> None:
    """Temporary name, fsync, rename: a reader sees all of it or nothing."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
