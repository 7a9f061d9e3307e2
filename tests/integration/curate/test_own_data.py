"""`curate` with own data: the four datasets, the counts, the same bytes again, and nothing else changed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from jobs.curate import main
from jobs.stage_metrics import StageMetrics
from mimo_vl.config.compose import compose
from mimo_vl.config.data import CustomDataConfig, TinySynthesisConfig
from mimo_vl.data.custom.folder import open_folder
from mimo_vl.data.custom.publish import publish_folder
from mimo_vl.data.pipelines.base import train_tokenizer
from mimo_vl.data.pipelines.curate import CustomSource, Workshop, build_studios
from mimo_vl.data.pipelines.write import write_datasets
from mimo_vl.data.readers.indexed import IndexedDataset
from mimo_vl.data.synthesis.catalogue import RL, TRAINING
from mimo_vl.errors import ConfigError, InputError
from mimo_vl.schema.manifest import InputRef
from mimo_vl.storage.artifacts import materialise
from mimo_vl.storage.local import LocalStore
from mimo_vl.vocabulary import Split
from tests.fakes.own_verifiers import rewards_with
from tests.unit.data.builders import png
from tests.unit.data.own_data import own_line, write_own_data

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

_USES = ("train", "heldout", "rl", "eval")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight good lines, one of them twice, one without a reference, and a picture that is too small."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "9.png").write_bytes(png(20, 20))
    lines = [own_line(n) for n in range(8)] + [own_line(0), own_line(9), {"question": "Bare?", "answer": "yes"}]
    return write_own_data(folder, lines)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory, own: Path) -> Workshop:
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(build_studios(seed=0, heldout_fraction=0.25)[Split.TRAIN], seed=0, vocab_size=512).save(folder)
    synthesis = TinySynthesisConfig(
        samples_per_type=dict.fromkeys(TRAINING, 3),
        heldout_per_type=dict.fromkeys(TRAINING, 2),
        rl_prompts_per_family=dict.fromkeys(RL, 2),
        eval_items_rl_family=2,
        eval_items_other=2,
        preference_queries=2,
    )
    return Workshop(
        synthesis=synthesis,
        processing=compose("tiny").processing,
        seed=0,
        tokenizer_dir=folder,
        custom=CustomSource(folder=own, heldout_fraction=0.25),
    )


def _digests(folder: Path) -> dict[str, str]:
    files = [p for p in sorted(folder.rglob("*")) if p.is_file()]
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_own_data_stand_beside_the_profiles_which_they_do_not_change(workshop: Workshop, tmp_path: Path) -> None:
    write_datasets(workshop, tmp_path / "with", num_workers=2)
    write_datasets(replace(workshop, custom=None), tmp_path / "without")
    with_own, without = _digests(tmp_path / "with/datasets"), _digests(tmp_path / "without/datasets")
    added = {name.split("/")[0] for name in with_own.keys() - without.keys()}
    assert added == {f"{use}-custom" for use in _USES}
    assert {name: with_own[name] for name in without} == without
    report = json.loads((tmp_path / "with/report.json").read_bytes())
    counts = {use: report["datasets"][f"{use}-custom"] for use in _USES}
    for facts in counts.values():
        assert facts["seen"] == facts["kept"] + sum(facts["dropped"].values())
    # The line that is there twice, and the picture that is too small, on whichever side they are.
    dropped = [reason for use in ("train", "heldout") for reason in counts[use]["dropped"]]
    assert sorted(dropped) == ["duplicate", "too_small"]
    assert counts["train"]["kept"] + counts["heldout"]["kept"] == 9
    assert counts["rl"]["kept"] + counts["eval"]["kept"] == 8
    assert sum(report["splits"][split]["custom_lines"] for split in ("train", "heldout")) == 11


def test_no_source_is_on_both_sides(workshop: Workshop, tmp_path: Path) -> None:
    write_datasets(replace(workshop, synthesis=None), tmp_path)
    sources: dict[Split, set[str]] = {split: set() for split in Split}
    for use in _USES:
        dataset = IndexedDataset(tmp_path / "datasets" / f"{use}-custom")
        for sample in map(dataset.sample, range(len(dataset))):
            sources[sample.split].update(sample.source_ids)
    assert all(sources.values())
    assert sources[Split.TRAIN].isdisjoint(sources[Split.HELDOUT])


def test_without_synthesis_own_data_are_all_there_is(workshop: Workshop, tmp_path: Path) -> None:
    infos = write_datasets(replace(workshop, synthesis=None), tmp_path)
    assert list(infos) == [f"{use}-custom" for use in _USES]
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    write_datasets(replace(workshop, synthesis=None), tmp_path)
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before


def _context(workshop: Workshop, store: LocalStore, digest: str, tmp_path: Path) -> SimpleNamespace:
    base = tmp_path / "base"
    base.mkdir()
    (base / "tokenizer").symlink_to(workshop.tokenizer_dir)
    config = compose("tiny")
    inputs: dict[str, InputRef] = {}

    def input_dir(name: str) -> Path:
        ref = inputs.get(name)
        return base if ref is None else materialise(LocalStore(Path(urlsplit(ref.uri).path)), "", tmp_path, ref.digest)

    return SimpleNamespace(
        config=replace(config, data=replace(config.data, synthesis=None, custom=CustomDataConfig(digest=digest))),
        input_dir=input_dir,
        add_input=inputs.__setitem__,
        inputs=inputs,
        out_dir=tmp_path / "out",
        progress=lambda *_, **__: None,
        should_stop=lambda: False,
        shown=StageMetrics(),
        store=store,
    )


def test_the_job_takes_own_data_from_the_runs_store_and_compares_their_digest(
    workshop: Workshop, own: Path, tmp_path: Path
) -> None:
    store = LocalStore(tmp_path / "store")
    digest = publish_folder(store, own, open_folder(own)).content_digest
    context = _context(workshop, store, digest, tmp_path)
    assert main(context)["datasets"] == 4  # type: ignore[arg-type]
    assert context.inputs["custom-data"].digest == digest
    (tmp_path / "store/data" / digest.removeprefix("sha256:") / "output/1.png").write_bytes(png(shade=99))
    with pytest.raises(InputError, match=r"file 1\.png"):
        main(context)  # type: ignore[arg-type]


def test_the_job_refuses_a_wrong_verifier_before_anything_is_trained(
    workshop: Workshop, own: Path, tmp_path: Path
) -> None:
    store = LocalStore(tmp_path / "store")
    digest = publish_folder(store, own, open_folder(own)).content_digest
    context = _context(workshop, store, digest, tmp_path)
    context.config = replace(context.config, rewards=rewards_with("SHARE", "4"))
    with pytest.raises(ConfigError, match="is version '3'"):
        main(context)  # type: ignore[arg-type]
