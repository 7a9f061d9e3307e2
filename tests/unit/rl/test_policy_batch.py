"""Groups to rows: weights and advantages follow their tokens, and no split changes the gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mimo_vl.inference.hf_engine import HfEngine
from mimo_vl.model.supervised import token_logprobs
from mimo_vl.processing.packed_row import EncodedSample
from mimo_vl.rl.losses.on_policy_grpo import on_policy_grpo
from mimo_vl.rl.policy_batch import PolicyRow, policy_rows, policy_samples, split_evenly
from mimo_vl.schema.rollout import Completion, PromptRef, SamplingParams, ScoredGroup
from tests.fakes.tiny_vlm import STOP, NumberDecoder, build_model, image_prompt, text_prompt

from .builders import COUNTING, group

pytestmark = pytest.mark.timeout(120)


def _with_answer(prompt: EncodedSample, token_ids: tuple[int, ...]) -> EncodedSample:
    count, start = len(token_ids), int(prompt.positions_3T.max()) + 1
    tail = np.tile(np.arange(start, start + count), (3, 1))
    return EncodedSample(
        id=prompt.id,
        data_type=prompt.data_type,
        input_ids_T=np.concatenate([prompt.input_ids_T, np.array(token_ids)]),
        supervised_T=np.concatenate([prompt.supervised_T, np.ones(count, dtype=bool)]),
        mm_types_T=np.concatenate([prompt.mm_types_T, np.zeros(count, dtype=np.int64)]),
        positions_3T=np.concatenate([prompt.positions_3T, tail], axis=1),
        patches_PC=prompt.patches_PC,
        grid_thw_N3=prompt.grid_thw_N3,
    )


def _rolled_out(model: torch.nn.Module) -> tuple[list[ScoredGroup], list[EncodedSample]]:
    """Three groups of three answers of unequal lengths, one prompt with an image."""
    prompts = [text_prompt("a", [3, 4]), image_prompt("b", model, seed=1), text_prompt("c", list(range(20, 40)))]  # type: ignore[arg-type]
    params = SamplingParams(num_samples=3, max_new_tokens=9)
    answers = HfEngine(model, NumberDecoder(), stop_token_ids=[STOP]).generate(prompts, params)  # type: ignore[arg-type]
    groups = [
        ScoredGroup(
            step=0,
            prompt_id=prompt.id,
            prompt_index=i,
            family=COUNTING,
            completions=tuple(completions),
            rewards=(1.0, 0.0, 0.5 * (i % 2)),
        )
        for i, (prompt, completions) in enumerate(zip(prompts, answers, strict=True))
    ]
    return groups, prompts


def _rows(groups: list[ScoredGroup], prompts: list[EncodedSample], num_rows: int) -> list[PolicyRow]:
    def encode(ref: PromptRef, completion: Completion) -> EncodedSample:
        return _with_answer(prompts[ref.index], completion.token_ids)

    return policy_rows(policy_samples(groups, encode, "group"), num_rows, "cpu")


def _gradient(model: torch.nn.Module, rows: list[PolicyRow]) -> torch.Tensor:
    model.zero_grad()
    for row in rows:
        on_policy_grpo(row.answer_tokens(token_logprobs(model, row.rows))).backward()  # type: ignore[arg-type]
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def test_one_row_equals_eight_accumulated_rows_in_gradient() -> None:
    model = build_model()
    groups, prompts = _rolled_out(model)
    one, eight = _gradient(model, _rows(groups, prompts, 1)), _gradient(model, _rows(groups, prompts, 8))
    assert one.norm() > 0.1
    torch.testing.assert_close(eight, one, atol=1e-5, rtol=1e-4)


def test_an_empty_row_is_filled_with_a_sample_that_weighs_nothing() -> None:
    model = build_model()
    groups, prompts = _rolled_out(model)
    rows = _rows(groups, prompts, 20)
    assert len(rows) == 20
    muted = [row for row in rows if not row.weight_N.any()]
    # Nine answers in 20 rows leave at least eleven empty.
    assert len(muted) >= 11
    torch.testing.assert_close(
        _gradient(model, rows), _gradient(model, _rows(groups, prompts, 1)), atol=1e-5, rtol=1e-4
    )


def test_token_weights_sum_to_one_and_advantages_stay_with_their_answers() -> None:
    groups, prompts = _rolled_out(build_model())
    (row,) = _rows(groups, prompts, 1)
    assert row.weight_N.sum().item() == pytest.approx(1.0)
    lengths = [len(c.token_ids) for g in groups for c in g.completions]
    first = row.advantage_N[: lengths[0]]
    # Rewards 1, 0, 0: mean 1/3, population std 0.4714, so the first answer has (2/3) / 0.4714 = 1.41421.
    torch.testing.assert_close(first, torch.full_like(first, 1.41421), atol=1e-4, rtol=0)
    torch.testing.assert_close(
        row.rollout_logp_N, torch.tensor([p for g in groups for c in g.completions for p in c.logprobs])
    )


def test_trainer_log_probs_equal_the_engines() -> None:
    model = build_model()
    groups, prompts = _rolled_out(model)
    for row in _rows(groups, prompts, 2):
        torch.testing.assert_close(token_logprobs(model, row.rows), row.rollout_logp_N, atol=1e-4, rtol=0)


def test_a_group_with_an_unknown_reward_is_refused() -> None:
    with pytest.raises(ValueError, match="2 rewards for 3 completions"):
        policy_samples([group([1.0, None, 0.0])], lambda *_: text_prompt("a", [1, 2, 3]), "group")


@pytest.mark.parametrize(
    ("sizes", "parts", "expected"),
    [
        ([1, 1, 1, 1], 2, [[0, 1], [2, 3]]),
        ([9, 1, 1, 1], 2, [[0], [1, 2, 3]]),
        ([1, 1], 3, [[0], [], [1]]),
        ([5], 1, [[0]]),
    ],
)
def test_runs_are_contiguous_and_about_equal(sizes: list[int], parts: int, expected: list[list[int]]) -> None:
    assert split_evenly(sizes, parts) == expected
