import math

import pytest
import torch

from mimo_vl.training.preference_loss import bradley_terry_losses

pytestmark = pytest.mark.timeout(120)


def test_equal_scores_cost_log_two() -> None:
    losses = bradley_terry_losses(torch.zeros(1), torch.zeros(1), center_penalty=0.0)
    assert losses.item() == pytest.approx(math.log(2))


def test_loss_depends_on_the_difference_alone_without_penalty() -> None:
    # -log sigmoid(2)
    expected = math.log(1 + math.exp(-2))
    for chosen, rejected in [(2.0, 0.0), (5.0, 3.0)]:
        losses = bradley_terry_losses(torch.tensor([chosen]), torch.tensor([rejected]), center_penalty=0.0)
        assert losses.item() == pytest.approx(expected, rel=1e-5)


def test_penalty_pulls_the_scores_to_zero() -> None:
    # (1 + 3)^2 * 0.01 = 0.16 on top of -log sigmoid(-2).
    losses = bradley_terry_losses(torch.tensor([1.0]), torch.tensor([3.0]), center_penalty=0.01)
    assert losses.item() == pytest.approx(0.16 + math.log(1 + math.exp(2)), rel=1e-5)


def test_gradient_raises_the_chosen_and_lowers_the_rejected() -> None:
    chosen, rejected = torch.zeros(1, requires_grad=True), torch.zeros(1, requires_grad=True)
    bradley_terry_losses(chosen, rejected, center_penalty=0.0).sum().backward()
    # d/dr -log sigmoid(r) at 0 = -1/2.
    assert chosen.grad is not None
    assert rejected.grad is not None
    assert chosen.grad.item() == pytest.approx(-0.5)
    assert rejected.grad.item() == pytest.approx(0.5)
