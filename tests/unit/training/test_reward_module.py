"""A reward model recomputes activations where its configuration says so."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mimo_vl.config.compose import compose
from mimo_vl.config.training import ParallelismConfig, RewardModelConfig
from mimo_vl.model.checkpoint import save_model
from mimo_vl.processing.packed_row import pack_row
from mimo_vl.training.reward_model import build_module
from mimo_vl.vocabulary import REWARD_MODEL_STAGES
from tests.fakes.recomputation import recomputed_towers
from tests.unit.model.builders import sample, tiny_model

pytestmark = pytest.mark.timeout(180)

PAIR = pack_row([sample("chosen", 2, (1, 4, 4), 3), sample("rejected", 2, (1, 4, 4), 4)])


@pytest.mark.parametrize(
    ("language", "vision", "recomputed"),
    [(False, False, set()), (True, False, {"language"}), (True, True, {"language", "vision"})],
)
def test_each_tower_recomputes_as_its_switch_says(
    tmp_path: Path, language: bool, vision: bool, recomputed: set[str]
) -> None:
    save_model(tiny_model(tmp_path), tmp_path / "model")
    parallelism = ParallelismConfig(checkpoint_language=language, checkpoint_vision=vision)
    config = RewardModelConfig(kind="multimodal", parallelism=parallelism)
    module = build_module(tmp_path / "model", config, dtype=torch.float32).train()
    assert recomputed_towers(module.model.trunk, lambda: module(PAIR, 1.0)[0]) == recomputed


def test_the_7b_profile_recomputes_wherever_it_trains_everything() -> None:
    config = compose("mimo_vl_7b")
    switches = [config.reward_models[name].parallelism for name in REWARD_MODEL_STAGES] + [config.rl]
    assert [(s.checkpoint_language, s.checkpoint_vision) for s in switches] == [(True, True)] * 3
