"""Engine, advantages, rows and loss together raise a reward, and the wrong sign lowers it."""

from __future__ import annotations

from statistics import fmean

import pytest
import torch

from mimo_vl.inference.hf_engine import HfEngine
from mimo_vl.model.supervised import token_logprobs
from mimo_vl.rl.advantage import has_signal
from mimo_vl.rl.losses.on_policy_grpo import on_policy_grpo
from mimo_vl.rl.losses.tokens import PolicyLoss
from mimo_vl.rl.losses.vanilla_grpo import vanilla_grpo
from mimo_vl.rl.policy_batch import policy_rows, policy_samples
from mimo_vl.schema.rollout import Completion, PromptRef, SamplingParams, ScoredGroup
from tests.fakes.tiny_vlm import STOP, NumberDecoder, build_model, image_prompt, text_prompt

from .builders import COUNTING
from .test_policy_batch import _with_answer

pytestmark = pytest.mark.timeout(120)


def _reward(completion: Completion) -> float:
    """Share of even tokens: easy to raise, and graded."""
    return fmean(float(token % 2 == 0) for token in completion.token_ids)


def _train(loss: PolicyLoss, num_steps: int, sign: float = 1.0) -> list[float]:
    """Mean reward of each step's rollouts."""
    model = build_model()
    prompts = [text_prompt("a", [3, 4]), image_prompt("b", model, seed=1)]
    engine = HfEngine(model, NumberDecoder(), stop_token_ids=[STOP])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
    means: list[float] = []
    for step in range(num_steps):
        params = SamplingParams(num_samples=16, max_new_tokens=4, step=step)
        groups = [
            ScoredGroup(
                step=step,
                prompt_id=prompts[i].id,
                prompt_index=i,
                family=COUNTING,
                completions=tuple(answers),
                rewards=tuple((1 - sign) / 2 + sign * _reward(c) for c in answers),
            )
            for i, answers in enumerate(engine.generate(prompts, params))
        ]
        means.append(fmean(_reward(c) for g in groups for c in g.completions))
        valid = [g for g in groups if has_signal([r for r in g.rewards if r is not None], 1e-4)]
        if not valid:
            continue

        def encode(ref: PromptRef, completion: Completion) -> object:
            return _with_answer(prompts[ref.index], completion.token_ids)

        for row in policy_rows(policy_samples(valid, encode, "group"), 2, "cpu"):  # type: ignore[arg-type]
            loss(row.answer_tokens(token_logprobs(model, row.rows))).backward()
        optimizer.step()
        optimizer.zero_grad()
    return means


@pytest.mark.parametrize("loss", [on_policy_grpo, vanilla_grpo(0.2, 0.28)], ids=["on_policy", "vanilla"])
def test_the_reward_rises(loss: PolicyLoss) -> None:
    means = _train(loss, 30)
    assert fmean(means[-5:]) > fmean(means[:5]) + 0.25


def test_the_opposite_reward_lowers_it() -> None:
    means = _train(on_policy_grpo, 30, sign=-1.0)
    assert fmean(means[-5:]) < fmean(means[:5]) - 0.25
