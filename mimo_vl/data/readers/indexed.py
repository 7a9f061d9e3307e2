"""How a dataset is read: random access to any record through a memory-mapped index, checked by digest."""

from __future__ import annotations

import mmap
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mimo_vl.data.record import Record, sha256_hex
from mimo_vl.data.writers.index import DATASET_FILE, INDEX_FILE, MEDIA_COLUMNS, MEDIA_FILE, Column, DatasetInfo
from mimo_vl.errors import CorruptDataError, DigestMismatchError, InputError
from mimo_vl.schema.sample import Sample

# Rows of both tables, unpacked one by one: seven times as fast as a row of an array.
_ROW = struct.Struct(f"<{len(Column)}q")
_SPAN = struct.Struct(f"<{MEDIA_COLUMNS}q")


class RawRecord(NamedTuple):
    """Undecoded bytes of one record."""

    text: bytes
    media: tuple[bytes, ...]


class IndexedDataset:
    """A sealed dataset folder. Opening checks the index and the shard sizes; a record is checked when first read."""

    def __init__(self, directory: Path) -> None:
        path = directory / DATASET_FILE
        if not path.is_file():
            raise InputError(f"no dataset at {directory}: {DATASET_FILE} is missing; run `curate` until it finishes")
        self.info = DatasetInfo.from_json(path.read_bytes())
        self.name = self.info.name
        self._rows = _open_table(directory / INDEX_FILE, self.info.index_sha256)
        self._spans = _open_table(directory / MEDIA_FILE, self.info.media_sha256)
        self._shards = [_open_shard(directory / s.path, s.size_bytes) for s in self.info.shards]
        self._len = len(self._rows) // _ROW.size
        self._is_verified = bytearray(self._len)

    def __len__(self) -> int:
        return self._len

    def __getitem__(self, i: int) -> Record:
        raw = self.raw(i)
        return Record(sample=Sample.from_json(raw.text), media=raw.media)

    def sample(self, i: int) -> Sample:
        """The sample alone; its media stay on disk."""
        return Sample.from_json(self.raw(i).text)

    def cost(self, i: int) -> tuple[int, int]:
        """(tokens, patches), from the index alone."""
        row = self._row(i)
        return row[Column.NUM_TOKENS], row[Column.NUM_PATCHES]

    def costs(self) -> npt.NDArray[np.int64]:
        """[N, 2]: tokens and patches of every sample."""
        table = np.frombuffer(self._rows, dtype="<i8").reshape(-1, len(Column))
        return table[:, [Column.NUM_TOKENS, Column.NUM_PATCHES]]

    def raw(self, i: int) -> RawRecord:
        """Raises CorruptDataError when the bytes are not those that were written."""
        shard_number, offset, size, first, num_media, _, _, crc = self._row(i)
        shard = self._shards[shard_number]
        text = shard[offset : offset + size]
        spans = self._spans[first * _SPAN.size : (first + num_media) * _SPAN.size]
        media = tuple([shard[start : start + length] for start, length in _SPAN.iter_unpack(spans)])
        if not self._is_verified[i]:
            self._verify(i, text, media, crc)
        return RawRecord(text, media)

    def _row(self, i: int) -> tuple[int, ...]:
        """By Column; from the end for a negative `i`."""
        if not -self._len <= i < self._len:
            raise IndexError(f"dataset {self.name} has {self._len} records, wanted number {i}")
        return _ROW.unpack_from(self._rows, i % self._len * _ROW.size)

    def _verify(self, i: int, text: bytes, media: tuple[bytes, ...], crc: int) -> None:
        found = zlib.crc32(text)
        for data in media:
            found = zlib.crc32(data, found)
        if found != crc:
            raise CorruptDataError(
                f"dataset {self.name}, record {i}: checksum {found:#x}, wanted {crc:#x}; the shard was changed after "
                "it was written: restore it or run `curate` again"
            )
        self._is_verified[i] = 1


def _open_table(path: Path, sha256: str) -> memoryview:
    if not path.is_file():
        raise InputError(f"missing file {path}; restore the dataset or run `curate` again")
    found = sha256_hex(path.read_bytes())
    if found != sha256:
        raise DigestMismatchError(f"{path}: sha256 is {found}, wanted {sha256}; restore the dataset")
    if path.stat().st_size == 0:
        return memoryview(b"")
    with path.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _open_shard(path: Path, size_bytes: int) -> mmap.mmap:
    if not path.is_file():
        raise InputError(f"missing shard {path}; restore the dataset or run `curate` again")
    found = path.stat().st_size
    if found != size_bytes:
        raise InputError(f"truncated shard {path}: {found} bytes, wanted {size_bytes}; restore it or curate again")
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
