"""Curation end to end at a small size: what a run writes, what a second run changes, what damage does."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from jobs.curate import main
from jobs.stage_metrics import StageMetrics
from mimo_vl.config.compose import compose
from mimo_vl.config.data import TinySynthesisConfig
from mimo_vl.data.pipelines.base import train_tokenizer
from mimo_vl.data.pipelines.curate import ShardTask, Workshop, build_studios, make_shard
from mimo_vl.data.pipelines.recipe import Form, Recipe
from mimo_vl.data.pipelines.write import write_datasets
from mimo_vl.data.readers.indexed import IndexedDataset
from mimo_vl.data.synthesis.catalogue import RL, TRAINING
from mimo_vl.data.synthesis.draft import Draft
from mimo_vl.errors import ConfigError, InputError
from mimo_vl.processing.encode import SampleEncoder
from mimo_vl.processing.tokenizer import load_tokenizer
from mimo_vl.schema.sample import TextPart
from mimo_vl.vocabulary import DataType, Language, Split

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    folder = tmp_path_factory.mktemp("tokenizer")
    studio = build_studios(seed=0, heldout_fraction=0.25)[Split.TRAIN]
    train_tokenizer(studio, seed=0, vocab_size=512).save(folder)
    synthesis = TinySynthesisConfig(
        samples_per_type=dict.fromkeys(TRAINING, 12),
        heldout_per_type=dict.fromkeys(TRAINING, 4),
        rl_prompts_per_family=dict.fromkeys(RL, 4),
        eval_items_rl_family=6,
        eval_items_other=4,
        preference_queries=6,
        shard_size=5,
    )
    return Workshop(synthesis=synthesis, processing=compose("tiny").processing, seed=0, tokenizer_dir=folder)


@pytest.fixture(scope="module")
def curated(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("curated")
    write_datasets(workshop, out)
    return out


def _digests(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def test_all_datasets_are_written_and_every_record_encodes_as_measured(workshop: Workshop, curated: Path) -> None:
    names = sorted(p.name for p in (curated / "datasets").iterdir())
    assert len(names) == 11 + 11 + 7 + 13 + 2
    encoder = SampleEncoder(load_tokenizer(workshop.tokenizer_dir), workshop.processing)
    for name in names:
        dataset = IndexedDataset(curated / "datasets" / name)
        for i in range(len(dataset)):
            record = dataset[i]
            encoded = encoder.encode(record.sample, record.media)
            assert dataset.cost(i) == (encoded.num_tokens, encoded.num_patches)
            for ref, data in zip(record.sample.media, record.media, strict=True):
                assert hashlib.sha256(data).hexdigest() == ref.sha256


def test_train_and_heldout_datasets_share_no_source(curated: Path) -> None:
    sources: dict[Split, set[str]] = {split: set() for split in Split}
    for folder in sorted((curated / "datasets").iterdir()):
        dataset = IndexedDataset(folder)
        for i in range(len(dataset)):
            sample = dataset.sample(i)
            sources[sample.split].update(sample.source_ids)
    assert len(sources[Split.HELDOUT]) > 50
    assert sources[Split.TRAIN].isdisjoint(sources[Split.HELDOUT])


def test_the_report_counts_what_was_kept_and_dropped(curated: Path) -> None:
    report = json.loads((curated / "report.json").read_bytes())
    for facts in report["datasets"].values():
        # a shard stops at its last kept record, so everything seen was kept or dropped
        assert facts["seen"] == facts["kept"] + sum(facts["dropped"].values())
    assert report["datasets"]["train-ocr"]["kept"] == 12
    assert report["splits"]["train"]["digits"] + report["splits"]["heldout"]["digits"] == 1797


def test_a_second_run_changes_nothing(workshop: Workshop, curated: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in curated.rglob("*")}
    write_datasets(workshop, curated)
    assert {p: p.stat().st_mtime_ns for p in curated.rglob("*")} == before


def test_two_worker_processes_write_the_same_bytes_as_one(workshop: Workshop, curated: Path, tmp_path: Path) -> None:
    write_datasets(workshop, tmp_path, num_workers=2)
    assert _digests(tmp_path) == _digests(curated)


def test_an_interrupted_run_goes_on_to_the_same_bytes(workshop: Workshop, curated: Path, tmp_path: Path) -> None:
    class KilledError(Exception):
        pass

    def die(done: int, *_: object) -> None:
        if done == 20:
            raise KilledError

    with pytest.raises(KilledError):
        write_datasets(workshop, tmp_path, on_shard=die)
    # a shard without its marker is not trusted
    half = tmp_path / "datasets" / "train-ocr" / "shard-00001.tar.tmp"
    half.write_bytes(b"half a shard")
    write_datasets(workshop, tmp_path)
    half.unlink(missing_ok=True)
    assert _digests(tmp_path) == _digests(curated)


def test_more_records_than_exist_is_an_input_error(workshop: Workshop, tmp_path: Path) -> None:
    def always_the_same(*_: object) -> Draft:
        return Draft(data_type=DataType.TEXT, language=Language.EN, question=(TextPart(text="Only this."),))

    recipe = Recipe(
        name="poor", stream="poor", split=Split.TRAIN, form=Form.PROMPT, blend=((always_the_same, 1.0),), num_samples=3
    )
    task = ShardTask(recipe=recipe, number=0, size=3, directory=tmp_path)
    with pytest.raises(InputError, match=r"poor: 1 distinct records, wanted 3 \(\{'duplicate': \d+\}\)"):
        make_shard(workshop, task)


def test_a_profile_without_synthesis_has_nothing_to_curate() -> None:
    context = SimpleNamespace(config=compose("mimo_vl_7b"))
    with pytest.raises(ConfigError, match=r"data\.synthesis, data\.custom: null in profile mimo_vl_7b"):
        main(context)  # type: ignore[arg-type]


def test_the_job_returns_what_it_wrote(workshop: Workshop, curated: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    (base / "tokenizer").symlink_to(workshop.tokenizer_dir)
    config = compose("tiny")
    steps: list[tuple[int, int]] = []
    context = SimpleNamespace(
        config=replace(config, data=replace(config.data, synthesis=workshop.synthesis, num_workers=1)),
        input_dir=lambda _: base,
        out_dir=tmp_path / "out",
        progress=lambda step, total, **_: steps.append((step, total)),
        should_stop=lambda: False,
        shown=StageMetrics(),
    )
    metrics = main(context)  # type: ignore[arg-type]
    assert metrics["datasets"] == 44
    assert steps[-1][0] == steps[-1][1] == len(steps)
    assert _digests(tmp_path / "out") == _digests(curated)
