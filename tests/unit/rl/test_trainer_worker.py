"""The policy recomputes activations where rl.checkpoint_* says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from mimo_vl.config.rl import RlConfig
from mimo_vl.model.checkpoint import save_model
from mimo_vl.model.packed import row_tensors
from mimo_vl.model.supervised import token_logprobs
from mimo_vl.processing.packed_row import pack_row
from mimo_vl.rl.trainer_worker import load_policy
from mimo_vl.training.world import World
from mimo_vl.vocabulary import RlFamily
from tests.fakes.recomputation import recomputed_towers
from tests.unit.model.builders import sample, tiny_model

pytestmark = pytest.mark.timeout(180)


@pytest.mark.parametrize(
    ("language", "vision", "recomputed"),
    [(False, False, set()), (True, False, {"language"}), (True, True, {"language", "vision"})],
)
def test_each_tower_recomputes_as_its_switch_says(
    tmp_path: Path, language: bool, vision: bool, recomputed: set[str]
) -> None:
    save_model(tiny_model(tmp_path), tmp_path / "model")
    config = RlConfig(family_weights={RlFamily.COUNTING: 1.0}, checkpoint_language=language, checkpoint_vision=vision)
    model = load_policy(tmp_path / "model", config, World()).train()
    rows = row_tensors(pack_row([sample("a", 5, (1, 4, 4), 6)]))
    assert recomputed_towers(model, lambda: token_logprobs(model, rows, temperature=1.0).sum()) == recomputed
