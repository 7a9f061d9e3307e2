"""Advantages and token weights, worked out by hand."""

from __future__ import annotations

import pytest

from mimo_vl.rl.advantage import group_advantages, has_signal, token_weights


def test_advantage_is_the_distance_from_the_mean_in_population_standard_deviations() -> None:
    # mean 0.25, population variance (3 * 0.0625 + 0.5625) / 4 = 0.1875, std 0.4330127
    assert group_advantages([1.0, 0.0, 0.0, 0.0]) == pytest.approx(
        [1.7320508, -0.5773503, -0.5773503, -0.5773503], 1e-5
    )


def test_equal_rewards_give_zero_and_no_signal() -> None:
    assert group_advantages([0.7, 0.7, 0.7]) == pytest.approx([0.0, 0.0, 0.0], abs=1e-9)
    assert not has_signal([0.7, 0.7, 0.7], 1e-4)
    assert has_signal([0.7, 0.7, 0.71], 1e-4)


def test_group_normalisation_gives_every_group_the_same_total_weight() -> None:
    # 4 and 12 tokens in two groups: 1 / (4 * 2) and 1 / (12 * 2)
    assert token_weights([[1, 3], [10, 2]], "group") == [1 / 8, 1 / 24]


def test_batch_normalisation_gives_every_token_the_same_weight() -> None:
    assert token_weights([[1, 3], [10, 2]], "batch") == [1 / 16, 1 / 16]


def test_a_group_without_a_token_is_an_error() -> None:
    with pytest.raises(ValueError, match="has no token"):
        token_weights([[0, 0], [1, 2]], "group")
