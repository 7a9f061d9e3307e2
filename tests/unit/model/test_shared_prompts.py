"""Answers behind one shared prompt: the same losses, scores and gradients as with a prompt each, in fewer tokens."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mimo_vl.model.packed import row_tensors
from mimo_vl.model.reward_head import RewardModel
from mimo_vl.model.supervised import supervised_loss, token_logprobs
from mimo_vl.processing.packed_row import PackedRow, pack_row
from mimo_vl.processing.shared_prompts import pack_answers
from mimo_vl.training.micro_batch import attended_pairs
from tests.unit.model.builders import LONGEST_ANSWER, answers, tiny_model, with_answer

GRIDS = [(1, 4, 4), None, (1, 8, 10)]


GROUPS = [
    *answers("picture", GRIDS[0], [3, 1, 40, 17]),
    *answers("text", GRIDS[1], [5, 2]),
    *answers("alone", GRIDS[0], [4]),
    *answers("wide", GRIDS[2], [9, 9, 9]),
]


def gradients(row: PackedRow, folder: Path) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Losses per token, and the gradient of every parameter."""
    model = tiny_model(folder).train()
    weights_N = torch.linspace(-1.0, 1.0, row.num_supervised)
    result = supervised_loss(model, row_tensors(row), scale=0.1, weights_N=weights_N)
    result.loss_sum.backward()
    return result.token_losses_N, {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


def test_losses_and_gradients_are_those_of_a_prompt_each(tmp_path: Path) -> None:
    apart, shared = pack_row(GROUPS), pack_answers(GROUPS)
    assert shared.num_supervised == apart.num_supervised
    losses_N, wanted = gradients(apart, tmp_path)
    shared_losses_N, got = gradients(shared, tmp_path)
    torch.testing.assert_close(shared_losses_N, losses_N, rtol=1e-5, atol=1e-5)
    assert got.keys() == wanted.keys()
    for name, gradient in wanted.items():
        torch.testing.assert_close(got[name], gradient, rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")


def test_log_probabilities_keep_their_order(tmp_path: Path) -> None:
    model = tiny_model(tmp_path)
    wanted = torch.cat([token_logprobs(model, row_tensors(pack_row([s]))) for s in GROUPS])
    torch.testing.assert_close(token_logprobs(model, row_tensors(pack_answers(GROUPS))), wanted, rtol=1e-5, atol=1e-5)


def test_a_prompt_and_its_pictures_stand_in_the_row_once() -> None:
    row = pack_answers(GROUPS)
    assert row.prefix_S == (-1, 0, 0, 0, 0, -1, 5, 5, -1, -1, 9, 9, 9)
    assert len(row.grid_thw_N3) == 3
    assert len(row.patches_PC) == 16 + 16 + 80
    assert len(row.input_ids_T) == (10 + 61) + (6 + 7) + (10 + 4) + (26 + 27)
    assert attended_pairs(row) < attended_pairs(pack_row(GROUPS))


def test_reward_scores_are_those_of_the_answers(tmp_path: Path) -> None:
    model = RewardModel(tiny_model(tmp_path))
    torch.nn.init.normal_(model.head.weight)
    scores_S = model.scores(row_tensors(pack_answers(GROUPS)))
    torch.testing.assert_close(scores_S, model.scores(row_tensors(pack_row(GROUPS))), rtol=1e-5, atol=1e-5)


def test_an_answer_does_not_see_its_neighbours(tmp_path: Path) -> None:
    model = tiny_model(tmp_path)
    changed = [*GROUPS]
    changed[2] = with_answer(GROUPS[2], GROUPS[2].num_tokens - LONGEST_ANSWER, LONGEST_ANSWER, seed=7)
    before, after = (token_logprobs(model, row_tensors(pack_answers(group))) for group in (GROUPS, changed))
    others = torch.ones(len(before), dtype=torch.bool)
    others[4:44] = False
    torch.testing.assert_close(after[others], before[others])
    assert not torch.allclose(after[~others], before[~others])


@pytest.mark.parametrize("field", ["input_ids_T", "positions_3T", "patches_PC", "grid_thw_N3"])
def test_prompts_that_differ_are_not_shared(field: str) -> None:
    first, second = answers("picture", GRIDS[0], [3, 4])
    values = getattr(second, field).copy()
    values.reshape(-1)[-1 if field == "grid_thw_N3" else 1] += 1
    assert pack_answers([first, replace(second, **{field: values})]).prefix_S == ()


def test_samples_without_a_common_prompt_are_packed_as_ever() -> None:
    alone = [GROUPS[0], GROUPS[4], GROUPS[7]]
    row, wanted = pack_answers(alone), pack_row(alone)
    assert row.prefix_S == ()
    np.testing.assert_array_equal(row.cu_seqlens_S1, wanted.cu_seqlens_S1)
    np.testing.assert_array_equal(row.supervised_T, wanted.supervised_T)


def test_samples_of_one_token_have_no_prompt_to_share() -> None:
    one = answers("text", None, [1])[0]
    single = replace(
        one,
        input_ids_T=one.input_ids_T[:1],
        supervised_T=np.array([False]),
        mm_types_T=one.mm_types_T[:1],
        positions_3T=one.positions_3T[:, :1],
    )
    assert pack_answers([single, single]).prefix_S == ()
