"""ZeRO-3 on one GPU: a sharded model learns a row, and a text-only row does not hang or break it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from mimo_vl.config.training import Component
from mimo_vl.model.freeze import apply_freeze_plan, parameter_groups
from mimo_vl.processing.packed_row import pack_row
from mimo_vl.training.engine import EngineConfig, TrainingEngine, start_distributed, stop_distributed
from mimo_vl.training.step_modules import SupervisedStep
from mimo_vl.training.world import World
from tests.unit.model.builders import sample, tiny_model

# One process, but its process group listens on loopback.
pytestmark = [pytest.mark.gpu, pytest.mark.integration, pytest.mark.timeout(300)]

ROWS = [pack_row([sample("a", 9), sample("b", 3, (1, 8, 10), 12)]), pack_row([sample("c", 30), sample("d", 4)])]


def test_zero3_learns_image_and_text_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name, value in {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}.items():
        monkeypatch.setenv(name, value)  # DeepSpeed wants what a launcher sets
    world = World(is_gpu=True)
    start_distributed(world, init_method=(tmp_path / "rendezvous").as_uri())
    try:
        model = tiny_model(tmp_path).train().to(world.device, torch.bfloat16)
        apply_freeze_plan(model, tuple(Component))
        groups = parameter_groups(model, dict.fromkeys(Component, 1e-3), weight_decay=0.0)
        engine = TrainingEngine(
            SupervisedStep(model, chunk=16),
            torch.optim.AdamW(groups),
            EngineConfig(zero_stage=3, num_micro_batches=len(ROWS), max_grad_norm=1.0, is_bf16=True),
        )
        scale = 1.0 / sum(row.num_supervised for row in ROWS)
        losses = []
        for _ in range(20):
            total = 0.0
            for row in ROWS:
                loss, _ = engine(row, scale)
                engine.backward(loss)
                engine.micro_step()
                total += loss.item()
            losses.append(total)
        assert all(math.isfinite(loss) for loss in losses)
        assert losses[-1] < 0.7 * losses[0]
    finally:
        stop_distributed()
