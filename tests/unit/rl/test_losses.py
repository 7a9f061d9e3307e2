"""Values and gradients of the policy losses, worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from mimo_vl.config.rl import RlConfig
from mimo_vl.rl.losses.on_policy_grpo import on_policy_grpo
from mimo_vl.rl.losses.registry import build_policy_loss
from mimo_vl.rl.losses.tokens import AnswerTokens
from mimo_vl.rl.losses.vanilla_grpo import vanilla_grpo
from mimo_vl.vocabulary import RlFamily

pytestmark = pytest.mark.timeout(120)


def _tokens(logp: list[float], old: list[float], advantage: list[float]) -> AnswerTokens:
    return AnswerTokens(
        logp_N=torch.tensor(logp, requires_grad=True),
        rollout_logp_N=torch.tensor(old),
        advantage_N=torch.tensor(advantage),
        weight_N=torch.tensor([0.25] * len(logp)),
    )


def test_on_policy_gradient_is_minus_weight_times_advantage_whatever_the_log_probs() -> None:
    tokens = _tokens([-0.1, -3.0], [-5.0, -0.2], [2.0, -1.0])
    loss = on_policy_grpo(tokens)
    loss.backward()
    assert loss.item() == pytest.approx(-0.25 * (2.0 - 1.0))
    assert tokens.logp_N.grad is not None
    assert tokens.logp_N.grad.tolist() == pytest.approx([-0.5, 0.25])


def test_vanilla_equals_on_policy_in_gradient_when_nothing_has_moved() -> None:
    tokens = _tokens([-0.1, -3.0], [-0.1, -3.0], [2.0, -1.0])
    vanilla_grpo(0.2, 0.28)(tokens).backward()
    assert tokens.logp_N.grad is not None
    assert tokens.logp_N.grad.tolist() == pytest.approx([-0.5, 0.25])


@pytest.mark.parametrize(
    ("ratio", "advantage", "value", "has_gradient"),
    [
        (1.5, 1.0, 1.28, False),  # above 1 + 0.28 and good: clipped, no more push up
        (0.5, 1.0, 0.5, True),  # good but became less likely: still pushed up
        (0.5, -1.0, -0.8, False),  # below 1 - 0.2 and bad: clipped, no more push down
        (1.5, -1.0, -1.5, True),  # bad but became more likely: still pushed down
    ],
)
def test_vanilla_clips_only_in_the_direction_of_the_advantage(
    ratio: float, advantage: float, value: float, has_gradient: bool
) -> None:
    tokens = _tokens([math.log(ratio)], [0.0], [advantage])
    loss = vanilla_grpo(0.2, 0.28)(tokens)
    loss.backward()
    assert loss.item() == pytest.approx(-0.25 * value)
    assert tokens.logp_N.grad is not None
    assert (tokens.logp_N.grad.item() != 0.0) == has_gradient


def test_the_configuration_names_the_loss() -> None:
    weights = {RlFamily.COUNTING: 1.0}
    assert build_policy_loss(RlConfig(family_weights=weights)) is on_policy_grpo
    clipped = build_policy_loss(RlConfig(family_weights=weights, loss="vanilla_grpo", clip_high=0.5))
    # A ratio of 2 with advantage 1 is cut at 1 + 0.5.
    assert clipped(_tokens([math.log(2.0)], [0.0], [1.0])).item() == pytest.approx(-0.25 * 1.5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"updates_per_rollout": 2}, "exactly 1 update"),
        ({"group_size": 1}, "at least 2"),
        ({"top_p": 0.9}, "whole distribution"),
        ({"temperature": 0.0}, "temperature\n.*greater than 0"),
        ({"family_weights": {RlFamily.COUNTING: 0.0}}, "need a positive weight"),
    ],
)
def test_impossible_settings_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RlConfig(**{"family_weights": {RlFamily.COUNTING: 1.0}, **values})  # type: ignore[arg-type]
