"""Two trainer workers over gloo do what one does, and an error of either is the driver's error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mimo_vl.errors import NonFiniteLossError
from mimo_vl.rl.trainer_worker import build_trainer_worker
from mimo_vl.rl.weight_sync import weight_state
from mimo_vl.training.world import World
from tests.fakes.rl_world import build_rl_world
from tests.integration.rl.two_trainers import groups

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def one_process_group(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0", "RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}
    for name, value in values.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("one_process_group")
def test_two_trainer_workers_train_what_one_trains_and_tell_of_an_error_of_the_second(tmp_path: Path) -> None:
    world, out = build_rl_world(tmp_path / "world"), tmp_path / "out"
    command = [sys.executable, "-m", "tests.integration.rl.two_trainers", str(tmp_path / "world"), str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.run(command, env=environment, stdout=subprocess.PIPE, timeout=800, check=True)
    told = json.loads(process.stdout.splitlines()[-1])

    # Within seconds, with its own type and text, though rank 0 waits for rank 1.
    assert told["fails"] == "InputError: the prompts of rank 1 are missing"

    alone = build_trainer_worker(world.settings(tmp_path / "alone", tmp_path, 1), None, World())
    one = alone.update(groups(), 0)
    two = told["works"]
    assert two["num_answer_tokens"] == one.num_answer_tokens
    for name in ("loss", "grad_norm", "mismatch_mean"):
        assert two[name] == pytest.approx(getattr(one, name), rel=1e-4, abs=1e-6), name
    # The rows with the largest difference are those of rank 1, and rank 0 reports.
    assert two["mismatch_max"] == pytest.approx(one.mismatch_max, rel=1e-4)
    assert one.mismatch_max > 20.0
    assert told["version"] == 1
    update = alone.weights()
    assert update is not None
    trained = load_file(out / "output" / "model" / "model.safetensors")
    assert told["files"]
    assert len(trained) > 10
    for name, tensor in weight_state(update).items():
        if name in trained:
            torch.testing.assert_close(trained[name], tensor, atol=2e-5, rtol=1e-3)


@pytest.mark.usefixtures("one_process_group")
def test_a_loss_that_is_not_finite_names_the_step_and_the_prompts_of_its_row(tmp_path: Path) -> None:
    world = build_rl_world(tmp_path / "world")
    worker = build_trainer_worker(world.settings(tmp_path / "out", tmp_path, 1), None, World())
    # Token 51 stands in the answers to prompt 3 alone, which are in the last of two rows.
    embeddings = worker._trainer._engine.module.model.get_input_embeddings().weight
    with torch.no_grad():
        embeddings[51] = float("nan")
    with pytest.raises(
        NonFiniteLossError, match=r"step 0: the policy's loss is not finite for prompts .*prompt-3"
    ) as bad:
        worker.update(groups(), 0)
    assert "prompt-0" not in str(bad.value)
