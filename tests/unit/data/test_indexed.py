from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from mimo_vl.data.readers.indexed import IndexedDataset
from mimo_vl.data.writers.dataset import read_marker
from mimo_vl.errors import CorruptDataError, DigestMismatchError, InputError
from tests.unit.data.builders import png, record, write_dataset


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five records in three shards; record i has i % 3 images."""
    images = [png(shade=40 * i) for i in range(3)]
    write_dataset(tmp_path / "d", [record(f"s{i}", *images[: i % 3]) for i in range(5)])
    return tmp_path / "d"


def test_any_record_can_be_read_in_any_order(folder: Path) -> None:
    dataset = IndexedDataset(folder)
    assert len(dataset) == 5
    images = [png(shade=40 * i) for i in range(3)]
    for i in (4, 0, 2, 3, 1, 2):
        assert dataset[i].sample.id == f"s{i}"
        assert list(dataset[i].media) == images[: i % 3]
    with pytest.raises(IndexError, match="5 records"):
        dataset[5]


def test_costs_come_from_the_index(folder: Path) -> None:
    dataset = IndexedDataset(folder)
    assert dataset.cost(3) == (13, 16)
    assert dataset.costs().tolist() == [[10 + i, 16] for i in range(5)]


def test_the_same_records_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    images = [png(shade=40 * i) for i in range(3)]
    again = tmp_path / "again" / "d"
    write_dataset(again, [record(f"s{i}", *images[: i % 3]) for i in range(5)])
    names = sorted(p.name for p in folder.iterdir())
    assert names == sorted(p.name for p in again.iterdir())
    assert all((folder / n).read_bytes() == (again / n).read_bytes() for n in names)


def test_shards_are_plain_tar_files_without_time_and_owner(folder: Path) -> None:
    with tarfile.open(folder / "shard-00001.tar") as tar:
        members = tar.getmembers()
        assert [m.name for m in members] == ["s2.json", "s2.0.png", "s2.1.png", "s3.json"]
        assert {(m.mtime, m.uid, m.gid, m.uname) for m in members} == {(0, 0, 0, "")}
        extracted = tar.extractfile("s2.0.png")
        assert extracted is not None
        assert extracted.read() == png(shade=0)


def test_a_truncated_shard_is_an_input_error_with_both_sizes(folder: Path) -> None:
    shard = folder / "shard-00001.tar"
    size = shard.stat().st_size
    shard.write_bytes(shard.read_bytes()[:-512])
    with pytest.raises(InputError, match=f"truncated shard .*{size - 512} bytes, wanted {size}"):
        IndexedDataset(folder)


def test_a_changed_byte_is_corrupt_data_when_its_record_is_read(folder: Path) -> None:
    shard = folder / "shard-00001.tar"
    data = bytearray(shard.read_bytes())
    data[data.index(b"IDAT") + 6] ^= 1  # inside the first image of s2
    shard.write_bytes(data)
    dataset = IndexedDataset(folder)
    assert dataset[3].sample.id == "s3"
    with pytest.raises(CorruptDataError, match="record 2: checksum"):
        dataset[2]


def test_a_changed_index_is_a_digest_mismatch(folder: Path) -> None:
    data = bytearray((folder / "index.bin").read_bytes())
    data[8] ^= 1
    (folder / "index.bin").write_bytes(data)
    with pytest.raises(DigestMismatchError, match=r"index\.bin"):
        IndexedDataset(folder)


@pytest.mark.parametrize("name", ["dataset.json", "index.bin", "shard-00000.tar"])
def test_a_missing_file_is_an_input_error_that_names_it(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(InputError, match=name):
        IndexedDataset(folder)


def test_a_marker_counts_only_for_the_shard_it_was_written_for(folder: Path) -> None:
    assert read_marker(folder, 0) is not None
    shard = folder / "shard-00000.tar"
    data = bytearray(shard.read_bytes())
    data[600] ^= 1
    shard.write_bytes(data)
    assert read_marker(folder, 0) is None
    assert read_marker(folder, 7) is None
