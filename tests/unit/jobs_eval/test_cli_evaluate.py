"""`mimo evaluate`: a checkpoint on the held-out items of a run, answers kept for the next time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from jobs.cli import app
from jobs.cli_evaluate import evaluate_checkpoint
from mimo_vl.config.compose import compose, dump_config
from mimo_vl.data.step import Tally
from mimo_vl.data.writers.dataset import seal_dataset
from mimo_vl.data.writers.shard import ShardWriter
from mimo_vl.errors import InputError
from mimo_vl.model.checkpoint import save_model
from mimo_vl.processing.tokenizer import train_bpe
from mimo_vl.storage.artifacts import publish_directory
from mimo_vl.storage.local import LocalStore
from operators.mimo_pipeline.api import MimoPipelineSpec, MimoPipelineStatus, StageSpec, StageState, StageStatus
from operators.mimo_pipeline.local.state import Metadata, PipelineObject, RunFolder, write_atomically
from tests.fakes.evaluation_suite import NUM_ITEMS, records
from tests.fakes.tiny_vlm import build_model

pytestmark = pytest.mark.timeout(120)

FAMILIES = ("counting", "instruction")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "model"
    tokenizer = train_bpe(["question? boxed user assistant"] * 4, vocab_size=400)
    save_model(build_model(vocab_size=tokenizer.vocab_size, end_token=tokenizer.special_ids.turn_end), folder)
    tokenizer.save(folder)
    return folder


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """Of a run that has curated items of two families."""
    made = tmp_path / "curated"
    for family in FAMILIES:
        folder = made / "datasets" / f"eval-{family}"
        writer = ShardWriter(folder, 0)
        for record in records(family):
            writer.write(record, num_tokens=10, num_patches=0)
        seal_dataset(folder, folder.name, [writer.close(Tally(seen=NUM_ITEMS, kept=NUM_ITEMS))])
    folder = RunFolder(tmp_path / "demo")
    store = LocalStore(folder.store_path)
    manifest = publish_directory(store, "curate", made, stage="curate", attempt=1, run_id="r", stage_key="k")
    curate = StageStatus(
        name="curate", state=StageState.SUCCEEDED, output_uri=store.uri("curate"), digest=manifest.content_digest
    )
    _create(folder, curate)
    return folder.path


def _create(folder: RunFolder, *stages: StageStatus) -> None:
    pipeline = PipelineObject(
        metadata=Metadata(name="demo", uid="01234567-89ab"),
        spec=MimoPipelineSpec(profile="tiny", stages=(StageSpec(name="curate"),)),
        status=MimoPipelineStatus(stages=stages),
    )
    folder.create(pipeline)
    tasks = ",".join(f"'tiny/{family}'" for family in FAMILIES)
    overrides = [f"evaluation.tasks=[{tasks}]", "evaluation.max_new_tokens=4", "evaluation.samples_per_item=1"]
    write_atomically(folder.config_path(pipeline.metadata.uid), dump_config(compose("tiny", overrides)))


def _responses(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "responses" / "results").rglob("*.jsonl")}


def test_every_item_is_answered_and_scored_and_a_second_time_asked_nothing(
    run_dir: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    found = evaluate_checkpoint(model, run_dir, out)
    assert [(family.name, family.n) for family in found.families] == [(family, NUM_ITEMS) for family in FAMILIES]
    # Random weights answer nothing right.
    assert [family.models["checkpoint"].value for family in found.families] == [0.0, 0.0]
    assert found.models == ("checkpoint",)
    assert json.loads((out / "evaluation.json").read_text()) == found.model_dump(mode="json")
    before = _responses(out)
    assert {name: len(lines.splitlines()) for name, lines in before.items()} == {
        f"{family}.jsonl": NUM_ITEMS for family in FAMILIES
    }

    def nobody_answers(*_: object, **__: object) -> None:
        raise AssertionError("an item was asked again")

    monkeypatch.setattr("mimo_vl.inference.hf_engine.HfEngine.generate", nobody_answers)
    assert evaluate_checkpoint(model, run_dir, out) == found
    assert _responses(out) == before


def test_the_command_prints_a_line_per_family_with_its_interval(run_dir: Path, model: Path) -> None:
    """The results lie in the run's folder, under the digest of the checkpoint."""
    done = CliRunner().invoke(app, ["evaluate", str(model), "--run-dir", str(run_dir)], catch_exceptions=False)
    assert done.exit_code == 0
    # Wilson's interval of 0 of 8.
    line = next(x for x in done.stdout.splitlines() if "counting" in x)
    assert [cell.strip() for cell in line.strip("│ ").split("│")][2:] == ["8", "0.000", "[0.000, 0.324]"]
    (folder,) = (run_dir / "evaluations").iterdir()
    assert len(folder.name) == 12
    assert (folder / "evaluation.json").is_file()
    again = CliRunner().invoke(app, ["evaluate", str(model), "--run-dir", str(run_dir), "--output", "json"])
    assert [f["n"] for f in json.loads(again.stdout)["families"]] == [NUM_ITEMS, NUM_ITEMS]


def test_a_folder_without_a_checkpoint_and_a_run_without_data_say_what_to_do(tmp_path: Path, model: Path) -> None:
    folder = RunFolder(tmp_path / "new")
    _create(folder)
    with pytest.raises(InputError, match=r"MODEL: no config.json in .*; give a Hugging Face folder"):
        evaluate_checkpoint(tmp_path, folder.path, None)
    with pytest.raises(InputError, match=r"has no curated data yet; run it with: .* run --run-dir"):
        evaluate_checkpoint(model, folder.path, None)
