from __future__ import annotations

from pathlib import Path

import pytest

from mimo_vl.config.processing import ProcessingConfig
from mimo_vl.data.loader import RowLoader
from mimo_vl.data.plan import RowPlan
from mimo_vl.data.readers.indexed import IndexedDataset
from mimo_vl.errors import CorruptDataError
from mimo_vl.processing.encode import SampleEncoder
from mimo_vl.processing.tokenizer import train_bpe
from tests.unit.data.builders import png, record, write_dataset


@pytest.fixture(scope="module")
def encoder() -> SampleEncoder:
    return SampleEncoder(
        train_bpe(["one two three"] * 4, vocab_size=300), ProcessingConfig(min_pixels=3136, max_pixels=50176)
    )


def _loader(folder: Path, encoder: SampleEncoder, start: int, stop: int) -> RowLoader:
    dataset = IndexedDataset(folder)
    plan = RowPlan(
        {"caption": dataset.costs()},
        mixture={"caption": 1.0},
        seed=0,
        capacity_tokens=64,
        capacity_patches=256,
        rows_per_step=2,
    )
    return RowLoader(plan, {"caption": dataset}, encoder, rank=0, world_size=1, start_step=start, stop_step=stop)


def _write(folder: Path, *, break_one: bool = False) -> Path:
    images = [png(shade=i) for i in range(8)]
    if break_one:
        images[5] = images[5][:50]
    write_dataset(folder, [record(f"s{i}", images[i]) for i in range(8)], shard_size=8)
    return folder


def test_a_resumed_loader_goes_on_with_the_same_rows(tmp_path: Path, encoder: SampleEncoder) -> None:
    folder = _write(tmp_path / "caption")
    with _loader(folder, encoder, 0, 6) as loader:
        whole = [[row.sample_ids for row in item.rows] for item in loader]
    with _loader(folder, encoder, 4, 6) as loader:
        rest = [[row.sample_ids for row in item.rows] for item in loader]
    assert rest == whole[4:]
    assert all(len(rows) == 2 for rows in whole)


def test_a_corrupt_image_ends_training_and_names_the_sample(tmp_path: Path, encoder: SampleEncoder) -> None:
    folder = _write(tmp_path / "caption", break_one=True)
    with _loader(folder, encoder, 0, 50) as loader, pytest.raises(CorruptDataError, match="sample s5, medium 0"):
        list(loader)


def test_leaving_early_ends_the_thread(tmp_path: Path, encoder: SampleEncoder) -> None:
    loader = _loader(_write(tmp_path / "caption"), encoder, 0, 1000)
    with loader:
        next(iter(loader))
    assert not loader._thread.is_alive()
