"""A reward model scores each sample of a row by its last token, and survives saving."""

from __future__ import annotations

import pytest
import torch
from transformers import Qwen2_5_VLForConditionalGeneration

from mimo_vl.errors import InputError
from mimo_vl.model.packed import row_tensors
from mimo_vl.model.reward_head import RewardModel, load_reward_model, save_reward_model
from mimo_vl.processing.packed_row import pack_row
from tests.unit.model.builders import sample, tiny_model

pytestmark = pytest.mark.timeout(120)

SAMPLES = [sample("a", 5), sample("b", 2, (1, 4, 4), 3), sample("c", 1)]


def _scores(model: RewardModel, samples) -> torch.Tensor:
    with torch.no_grad():
        return model.scores(row_tensors(pack_row(samples)))


@pytest.fixture
def model(tmp_path):
    reward_model = RewardModel(tiny_model(tmp_path))
    torch.nn.init.normal_(reward_model.head.weight, generator=torch.Generator().manual_seed(0))
    return reward_model


def test_a_fresh_head_scores_zero(tmp_path):
    assert _scores(RewardModel(tiny_model(tmp_path)), SAMPLES).tolist() == [0.0, 0.0, 0.0]


def test_scores_do_not_depend_on_the_neighbours_in_the_row(model):
    together = _scores(model, SAMPLES)
    alone = torch.cat([_scores(model, [each]) for each in SAMPLES])
    assert together.std() > 0.1
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_saved_and_loaded_it_gives_the_same_scores_and_its_trunk_is_a_plain_checkpoint(model, tmp_path):
    save_reward_model(model, tmp_path / "rm", kind="multimodal")
    assert torch.equal(_scores(load_reward_model(tmp_path / "rm"), SAMPLES), _scores(model.eval(), SAMPLES))
    Qwen2_5_VLForConditionalGeneration.from_pretrained(tmp_path / "rm")


def test_a_folder_without_head_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match=r"no reward_config\.json"):
        load_reward_model(tmp_path)
