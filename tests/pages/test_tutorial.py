"""Does docs/tutorial.md work as it is written? Its bash blocks run in order, in a folder that holds nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mimo_vl.schema.evaluation import Evaluation
from mimo_vl.schema.rollout import ScoredGroup
from mimo_vl.storage.artifacts import read_manifest
from mimo_vl.storage.layout import OUTPUT_DIR
from mimo_vl.storage.store import store_for_uri
from mimo_vl.vocabulary import RlFamily, StageName
from operators.mimo_pipeline.api import StageState
from operators.mimo_pipeline.local.state import RunFolder
from tests.pages.command_blocks import ROOT, command_blocks

# Two to three minutes on two idle cores.
_DEADLINE_S = 900.0
pytestmark = [pytest.mark.pages, pytest.mark.timeout(_DEADLINE_S + 60)]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which a reader would be, after all blocks; `.venv/bin` runs this repository."""
    folder = tmp_path_factory.mktemp("tutorial")
    binaries = folder / ".venv/bin"
    binaries.mkdir(parents=True)
    environment = f'export PYTHONPATH="${{PYTHONPATH:+$PYTHONPATH:}}{ROOT}"'
    for name, arguments in (("mimo", "-m jobs.cli"), ("python", "")):
        script = binaries / name
        script.write_text(f'#!/bin/sh\n{environment}\nexec {sys.executable} {arguments} "$@"\n', encoding="utf-8")
        script.chmod(0o755)
    blocks = command_blocks(ROOT / "docs/tutorial.md")
    assert len(blocks) > 5
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(b.commands for b in blocks)],
        cwd=folder,
        env=kept,
        capture_output=True,
        text=True,
        timeout=_DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert "custom serial_characters [" in done.stdout
    return folder


def _output(checkout: Path, stage: StageName) -> Path:
    status = RunFolder(checkout / "runs/own").load().status.stage(stage)
    folder = store_for_uri(status.output_uri).local_path(OUTPUT_DIR)
    assert folder is not None
    return folder


def test_every_stage_of_the_run_succeeded(checkout: Path) -> None:
    stages = RunFolder(checkout / "runs/own").load().status.stages
    assert {s.state for s in stages} == {StageState.SUCCEEDED}
    assert {s.name for s in stages} == set(StageName)


def test_the_own_lines_became_four_datasets_and_none_was_lost(checkout: Path) -> None:
    datasets = json.loads((checkout / "curated/report.json").read_bytes())["datasets"]
    # A quarter of 60 pictures is held out.
    kept = {use: datasets[f"{use}-custom"]["kept"] for use in ("train", "heldout", "rl", "eval")}
    assert kept == {"train": 45, "heldout": 15, "rl": 45, "eval": 15}


def test_curate_recorded_the_own_folder_as_what_it_was_made_from(checkout: Path) -> None:
    uri = RunFolder(checkout / "runs/own").load().status.stage(StageName.CURATE).output_uri
    inputs = read_manifest(store_for_uri(uri), "").inputs
    added = next((checkout / "runs/own/store/data").iterdir())
    assert inputs["custom-data"].digest == f"sha256:{added.name}"


def test_the_own_verifier_measured_the_pass_rates(checkout: Path) -> None:
    rates = (_output(checkout, StageName.CURATE_RL) / "pass_rates/custom.jsonl").read_bytes().splitlines()
    assert len(rates) == 45
    assert all(json.loads(line)["rate"]["mean_reward"] is not None for line in rates)


def test_rl_sampled_the_own_prompts_and_the_own_verifier_judged_them(checkout: Path) -> None:
    lines = (_output(checkout, StageName.MORL) / "rollouts.jsonl").read_bytes().splitlines()
    groups = [g for g in map(ScoredGroup.from_json, lines) if g.family is RlFamily.CUSTOM]
    assert groups
    for group in groups:
        assert set(group.reward_names) == {"serial_characters"}
        # Partial credit: four characters, of answers that may be longer.
        assert all(reward is not None and 0.0 <= reward <= 1.0 for reward in group.rewards)
        assert len(set(group.rewards)) > 1


def test_the_evaluation_has_a_row_for_the_own_items(checkout: Path) -> None:
    evaluation = Evaluation.from_json((_output(checkout, StageName.EVALUATE) / "evaluation.json").read_bytes())
    own = next(f for f in evaluation.families if f.name == RlFamily.CUSTOM)
    assert (own.n, set(own.models)) == (15, {"base", "sft", "rl"})
    assert RlFamily.CUSTOM in evaluation.mean_reward.families["rl"]
