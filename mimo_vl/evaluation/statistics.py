"""How sure are we: intervals of means, paired differences, bootstrap, Holm's correction (standard methods).

Mean of scores s_i: SE = sqrt(sum (s_i - mean)^2 / (n (n - 1))), Student's t. Scores that are all 0 or 1: Wilson.
Two models on the same items: d_i = a_i - b_i, the same formula on d. Means over families: percentile bootstrap
over items, stratified by family, fixed seed. Nats per token: delta method. Left out: McNemar's exact test (the t
interval of a binary difference is what reports show) and power analysis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from mimo_vl.intervals import Scores, standard_error, wilson


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A value with its two-sided interval; `method` names how the interval was made."""

    value: float
    lo: float
    hi: float
    n: int
    method: str

    @property
    def interval(self) -> tuple[float, float]:
        return (self.lo, self.hi)

    def is_above(self, other: Estimate) -> bool:
        """True if the whole interval lies above the whole interval of `other`."""
        return self.lo > other.hi


def mean_estimate(scores: Sequence[float] | Scores, confidence: float) -> Estimate:
    """Mean of scores in [0, 1] with its interval: Wilson if every score is 0 or 1, Student's t clipped to [0, 1] else.

    Raises:
        ValueError: no score at all.
    """
    values = np.asarray(scores, dtype=np.float64)
    n = len(values)
    if n == 0:
        raise ValueError("a mean needs at least 1 score, got none")
    mean = float(values.mean())
    if bool(np.isin(values, (0.0, 1.0)).all()):
        lo, hi = wilson(float(values.sum()), n, confidence)
        return Estimate(value=mean, lo=lo, hi=hi, n=n, method="wilson")
    if n == 1:
        return Estimate(value=mean, lo=0.0, hi=1.0, n=n, method="none")
    half = _t_quantile(n, confidence) * standard_error(values)
    return Estimate(value=mean, lo=max(0.0, mean - half), hi=min(1.0, mean + half), n=n, method="t")


def likelihood_scores(nats: Sequence[float], num_tokens: Sequence[float]) -> Scores:
    """One value per text whose mean is exactly exp(-sum(nats) / sum(num_tokens)), the likelihood of a mean token.

    The values are the first-order expansion of that ratio in each text (delta method), so their standard error, and
    that of their paired difference, are the ratio's: v + psi_i, psi_i = -v (nats_i - r tokens_i) / mean(tokens).
    """
    top = np.asarray(nats, dtype=np.float64)
    bottom = np.asarray(num_tokens, dtype=np.float64)
    if len(top) == 0 or float(bottom.min()) <= 0:
        raise ValueError(f"{len(top)} texts with {list(bottom[:5])} tokens; each needs at least 1 token")
    ratio = top.sum() / bottom.sum()
    value = np.exp(-ratio)
    return value - value * (top - ratio * bottom) / bottom.mean()


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """Mean of d_i = a_i - b_i over the same items; `mean` +- quantile * `se`."""

    mean: float
    se: float
    n: int

    def interval(self, confidence: float) -> tuple[float, float]:
        half = _t_quantile(self.n, confidence) * self.se
        return self.mean - half, self.mean + half

    def p_below(self, margin: float) -> float:
        """One-sided p of the claim that the true difference is below `margin`; small means it is."""
        if self.se == 0.0:
            return 0.0 if self.mean < margin else 1.0
        return float(stats.t.cdf((self.mean - margin) / self.se, df=self.n - 1))


def paired_difference(a: Sequence[float] | Scores, b: Sequence[float] | Scores) -> PairedDifference:
    if len(a) != len(b):
        raise ValueError(f"{len(a)} and {len(b)} scores; a paired difference needs the same items")
    differences = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    return PairedDifference(mean=float(differences.mean()), se=standard_error(differences), n=len(differences))


def macro_mean_estimate(
    strata: Sequence[Sequence[float] | Scores], *, confidence: float, draws: int, seed: int
) -> Estimate:
    """Unweighted mean of the strata's means, with a percentile bootstrap over items within each stratum."""
    if not strata or any(len(s) == 0 for s in strata):
        raise ValueError(f"sizes of the strata are {[len(s) for s in strata]}; each needs at least one item")
    generator = np.random.default_rng(seed)
    arrays = [np.asarray(s, dtype=np.float64) for s in strata]
    means = [a[_resample(len(a), draws, generator)].mean(axis=1) for a in arrays]
    lo, hi = _percentiles(np.mean(means, axis=0), confidence)
    value = float(np.mean([a.mean() for a in arrays]))
    return Estimate(value=value, lo=lo, hi=hi, n=sum(len(a) for a in arrays), method="stratified bootstrap")


def holm_confidences(p_values: Sequence[float], confidence: float) -> list[float]:
    """Confidence of each interval in a table, so that together they hold with `confidence` (Holm's step-down).

    p-values (one-sided) in ascending order are compared with alpha / 2 / (m - k); the first that is not small enough
    fixes the level of itself and of all that follow. An interval at its level excludes the margin exactly if Holm
    rejects.
    """
    m = len(p_values)
    alpha = 1.0 - confidence
    levels = [0.0] * m
    remaining = m
    for index in sorted(range(m), key=lambda i: (p_values[i], i)):
        levels[index] = 1.0 - alpha / remaining
        if p_values[index] < alpha / 2 / remaining:
            remaining -= 1
    return levels


def _t_quantile(n: int, confidence: float) -> float:
    return float(stats.t.ppf(0.5 + confidence / 2, df=n - 1))


def _resample(n: int, draws: int, generator: np.random.Generator) -> npt.NDArray[np.int64]:
    return generator.integers(0, n, size=(draws, n))


def _percentiles(values: Scores, confidence: float) -> tuple[float, float]:
    tail = (1.0 - confidence) / 2
    lo, hi = np.quantile(values, [tail, 1.0 - tail])
    return float(lo), float(hi)
