"""Intervals against scipy and against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from mimo_vl.evaluation.statistics import (
    PairedDifference,
    holm_confidences,
    likelihood_scores,
    macro_mean_estimate,
    mean_estimate,
    paired_difference,
)
from mimo_vl.intervals import standard_error


def _scores(n: int = 50, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).beta(2.0, 3.0, size=n)


def test_t_interval_equals_scipys() -> None:
    scores = _scores()
    lo, hi = stats.t.interval(0.95, df=49, loc=scores.mean(), scale=stats.sem(scores))
    estimate = mean_estimate(scores, 0.95)
    assert estimate.method == "t"
    assert estimate.interval == pytest.approx((lo, hi))


def test_all_zero_scores_have_an_interval_with_width() -> None:
    estimate = mean_estimate([0.0] * 64, 0.95)
    assert estimate.method == "wilson"
    assert estimate.value == 0.0
    # z^2 / (n + z^2) = 3.841 / 67.841
    assert estimate.hi == pytest.approx(0.05662, abs=1e-4)


def test_no_score_is_an_error_not_a_zero() -> None:
    with pytest.raises(ValueError, match="at least 1 score"):
        mean_estimate([], 0.95)


def test_paired_interval_equals_scipys_paired_t_test() -> None:
    a, b = _scores(seed=1), _scores(seed=2)
    ours = paired_difference(a, b)
    test = stats.ttest_rel(a, b)
    assert ours.interval(0.95) == pytest.approx(tuple(test.confidence_interval(0.95)))
    shifted = stats.ttest_1samp(a - b, popmean=-0.03, alternative="less")
    assert ours.p_below(-0.03) == pytest.approx(shifted.pvalue)


def test_pairing_is_tighter_than_two_separate_means_when_items_differ_in_difficulty() -> None:
    difficulty = _scores(200)
    a = difficulty + 0.01 * np.random.default_rng(0).normal(size=200)
    assert paired_difference(a, difficulty).se < 0.1 * standard_error(difficulty)


def test_different_items_cannot_be_paired() -> None:
    with pytest.raises(ValueError, match="same items"):
        paired_difference([0.0, 1.0], [1.0])


def test_equal_models_are_not_below_the_margin() -> None:
    same = paired_difference([1.0, 0.0, 1.0], [1.0, 0.0, 1.0])
    assert same.interval(0.95) == (0.0, 0.0)
    assert same.p_below(-0.03) == 1.0
    assert PairedDifference(mean=-0.05, se=0.0, n=3).p_below(-0.03) == 0.0


def test_bootstrap_of_a_macro_mean_agrees_with_the_normal_interval() -> None:
    strata = [_scores(200, seed=s) for s in range(5)]
    estimate = macro_mean_estimate(strata, confidence=0.95, draws=4000, seed=0)
    mean = float(np.mean([s.mean() for s in strata]))
    half = 1.96 * math.sqrt(sum(stats.sem(s) ** 2 for s in strata)) / 5
    assert estimate.value == pytest.approx(mean)
    assert estimate.interval == pytest.approx((mean - half, mean + half), abs=0.1 * half)


def test_bootstrap_weighs_families_equally_whatever_their_size() -> None:
    estimate = macro_mean_estimate([[1.0] * 2, [0.0] * 98], confidence=0.95, draws=50, seed=0)
    assert (estimate.value, estimate.lo, estimate.hi) == (0.5, 0.5, 0.5)


def test_bootstrap_with_the_same_seed_gives_the_same_interval() -> None:
    first, second = (macro_mean_estimate([_scores()], confidence=0.95, draws=100, seed=7) for _ in range(2))
    assert first == second


def test_holm_levels_are_worked_out_by_hand() -> None:
    # alpha 0.05, one-sided halves: 0.001 < 0.025/3 rejects; 0.02 >= 0.025/2 does not, and stops the rest at /2.
    assert holm_confidences([0.02, 0.001, 0.5], 0.95) == pytest.approx([0.975, 1 - 0.05 / 3, 0.975])


def test_holm_interval_excludes_the_margin_exactly_if_its_p_is_rejected() -> None:
    generator = np.random.default_rng(5)
    differences = [PairedDifference(mean=float(m), se=0.01, n=200) for m in generator.uniform(-0.09, 0.02, size=12)]
    p_values = [d.p_below(-0.03) for d in differences]
    levels = holm_confidences(p_values, 0.95)
    excluded = [d.interval(c)[1] < -0.03 for d, c in zip(differences, levels, strict=True)]
    order = sorted(range(12), key=lambda i: p_values[i])
    num_rejected = 0
    while num_rejected < 12 and p_values[order[num_rejected]] < 0.025 / (12 - num_rejected):
        num_rejected += 1
    assert 0 < num_rejected < 12
    assert [i for i in order if excluded[i]] == order[:num_rejected]


def test_likelihood_scores_average_to_the_likelihood_of_a_mean_token() -> None:
    nats, tokens = [10.0, 30.0, 8.0], [5.0, 10.0, 2.0]
    assert likelihood_scores(nats, tokens).mean() == pytest.approx(math.exp(-48 / 17))


def test_likelihood_scores_have_the_spread_of_the_ratio() -> None:
    generator = np.random.default_rng(1)
    tokens = generator.integers(20, 60, size=400).astype(float)
    nats = tokens * generator.normal(2.0, 0.3, size=400)
    chosen = generator.integers(0, 400, size=(4000, 400))
    bootstrapped = np.exp(-nats[chosen].sum(axis=1) / tokens[chosen].sum(axis=1)).std()
    assert standard_error(likelihood_scores(nats, tokens)) == pytest.approx(bootstrapped, rel=0.05)
