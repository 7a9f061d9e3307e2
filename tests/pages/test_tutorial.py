"""Does docs/tutorial.md work as it is written? Its bash blocks run in order, in a folder that holds nothing else."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from minio import Minio

from mimo_vl.schema.evaluation import Evaluation
from mimo_vl.schema.rollout import ScoredGroup
from mimo_vl.storage.artifacts import read_manifest
from mimo_vl.storage.layout import OUTPUT_DIR
from mimo_vl.storage.store import store_for_uri
from mimo_vl.vocabulary import RlFamily, StageName
from operators.mimo_pipeline.api import StageState
from operators.mimo_pipeline.local.state import RunFolder
from tests.fakes.s3_server import KEY, SECRET, serve_s3
from tests.pages.command_blocks import ROOT, command_blocks, dockerfiles

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
    with serve_s3(folder / "s3.log") as address:
        Minio(address, KEY, SECRET, secure=False).make_bucket("mimo")
        keys = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_ENDPOINT_URL": f"http://{address}"}
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", "\n".join(b.commands for b in blocks)],
            cwd=folder,
            env=kept | keys,
            capture_output=True,
            text=True,
            timeout=_DEADLINE_S,
            check=False,
        )
        (folder / "stored.txt").write_text("\n".join(_names_in_bucket(address)))
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert "custom serial_characters [" in done.stdout
    return folder


def _names_in_bucket(address: str) -> list[str]:
    client = Minio(address, KEY, SECRET, secure=False)
    return sorted(str(found.object_name) for found in client.list_objects("mimo", recursive=True))


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


def _own_digest(checkout: Path) -> str:
    return next((checkout / "runs/own/store/data").iterdir()).name


def test_the_own_folder_lies_in_the_store_of_the_cluster_under_the_same_digest(checkout: Path) -> None:
    stored = (checkout / "stored.txt").read_text(encoding="utf-8").splitlines()
    here = checkout / "runs/own/store"
    wanted = sorted(str(path.relative_to(here)) for path in (here / "data").rglob("*") if path.is_file())
    assert len(wanted) > 2
    assert stored == [f"artifacts/{name}" for name in wanted]


def test_the_submitted_object_is_the_run_of_this_machine_at_full_length(checkout: Path) -> None:
    document = yaml.safe_load((checkout / "own.yaml").read_text(encoding="utf-8"))
    assert (document["kind"], document["metadata"]["name"]) == ("MimoPipeline", "own")
    ran = RunFolder(checkout / "runs/own").load().spec
    assert document["spec"]["overrides"] == [o for o in ran.overrides if o != "@tutorial"]
    assert f"data.custom.digest=sha256:{_own_digest(checkout)}" in document["spec"]["overrides"]
    assert {s["name"] for s in document["spec"]["stages"]} == {s.name for s in ran.stages}


def test_the_image_of_the_page_holds_the_own_verifier(checkout: Path, tmp_path: Path) -> None:
    """Without a program that builds images: what the three instructions do to the files, and what Python then finds."""
    [dockerfile] = dockerfiles(ROOT / "docs/tutorial.md")
    base, copy, environment = [line.split(" ", 1) for line in dockerfile.commands.splitlines()]
    assert (base[0], copy[0], environment[0]) == ("FROM", "COPY", "ENV")
    image = ROOT / "images" / base[1].rpartition("/mimo-")[2].partition(":")[0] / "Dockerfile"
    name, path = environment[1].split("=")
    # What is set replaces what the image had, so that has to be in it.
    [own] = [p for p in path.split(":") if not re.search(rf"\b{name}={re.escape(p)}\b", image.read_text("utf-8"))]
    source, target = copy[1].split()
    assert target == own
    shutil.copytree(checkout / source, tmp_path / target.lstrip("/"))
    code = "from serial_rule import VERIFIER; print(VERIFIER.version)"
    search = f"{ROOT}:{tmp_path / target.lstrip('/')}"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, name: search},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
