"""Records with the same content in different shards of one dataset."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mimo_vl.config.compose import compose
from mimo_vl.config.data import TinySynthesisConfig
from mimo_vl.data.pipelines.curate import Workshop, make_shard, shard_tasks_of
from mimo_vl.data.pipelines.write import write_datasets
from mimo_vl.data.readers.indexed import IndexedDataset
from mimo_vl.data.record import content_digest
from mimo_vl.processing.tokenizer import train_bpe
from mimo_vl.vocabulary import DataType
from tests.unit.data.builders import png, record, write_dataset

NAME = "train-instruction"


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """600 instructions in 6 shards: drawn from some 4,500, so that many are drawn twice."""
    folder = tmp_path_factory.mktemp("tokenizer")
    train_bpe(["Repeat 1 2 3."] * 4, vocab_size=300).save(folder)
    synthesis = TinySynthesisConfig(
        samples_per_type={DataType.INSTRUCTION: 600},
        heldout_per_type={},
        rl_prompts_per_family={},
        eval_items_rl_family=1,
        eval_items_other=1,
        preference_queries=1,
        shard_size=100,
    )
    return Workshop(synthesis=synthesis, processing=compose("tiny").processing, seed=0, tokenizer_dir=folder)


@pytest.fixture(scope="module")
def written(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("written")
    write_datasets(workshop, out)
    return out


def test_the_index_keeps_the_first_of_equal_records_in_different_shards(tmp_path: Path) -> None:
    # Shards (a, b), (c, d), (e): c repeats a, e repeats b, d has the words of a and another picture.
    write_dataset(
        tmp_path / "d",
        [
            record("a", png(), text="x"),
            record("b", png(), text="y"),
            record("c", png(), text="x"),
            record("d", png(shade=9), text="x"),
            record("e", png(), text="y"),
        ],
    )
    dataset = IndexedDataset(tmp_path / "d")
    assert [dataset[i].sample.id for i in range(len(dataset))] == ["a", "b", "d"]
    assert list(dataset[2].media) == [png(shade=9)]


def test_a_dataset_of_several_shards_has_as_many_different_records_as_wanted(written: Path) -> None:
    dataset = IndexedDataset(written / "datasets" / NAME)
    assert len(dataset) == 600
    assert len({content_digest(dataset[i]) for i in range(600)}) == 600


def test_duplicates_in_different_shards_are_counted(written: Path) -> None:
    facts = json.loads((written / "report.json").read_bytes())["datasets"][NAME]
    dataset = IndexedDataset(written / "datasets" / NAME)
    num_across = sum(shard.num_samples for shard in dataset.info.shards) - len(dataset)
    # 600 * 500 / 2 pairs of records in different shards, of 4,500 equally probable ones: 33 duplicates.
    assert 10 < num_across < 80
    assert facts["dropped"]["duplicate"] >= num_across
    assert facts["seen"] == facts["kept"] + sum(facts["dropped"].values())


def test_the_order_in_which_shards_are_made_changes_nothing(workshop: Workshop, written: Path, tmp_path: Path) -> None:
    for task in reversed(shard_tasks_of(workshop, tmp_path / "datasets")):
        make_shard(workshop, task)
    write_datasets(workshop, tmp_path)
    names = sorted(p.name for p in (written / "datasets" / NAME).iterdir())
    assert "shard-00006.tar" in names
    assert names == sorted(p.name for p in (tmp_path / "datasets" / NAME).iterdir())
    for name in names:
        assert (tmp_path / "datasets" / NAME / name).read_bytes() == (written / "datasets" / NAME / name).read_bytes()
