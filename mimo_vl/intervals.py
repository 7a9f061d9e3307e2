"""How sure are we of a share or a mean when items may be correlated? (Wilson 1927; cluster-robust standard errors.)

Needs numpy alone: training has no scipy.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float64]


def standard_error(scores: Sequence[float] | Scores, clusters: Sequence[str] | None = None) -> float:
    """Standard error of the mean; with `clusters`, items that share a name may be correlated.

    SE^2 = SE_iid^2 + (1 / n^2) * sum over clusters of sum over i != j of (s_i - mean)(s_j - mean), never below 0.
    """
    values = np.asarray(scores, dtype=np.float64)
    n = len(values)
    if n < 2:
        raise ValueError(f"a standard error needs at least 2 scores, got {n}")
    residuals = values - values.mean()
    variance = float((residuals**2).sum() / (n * (n - 1)))
    if clusters is not None:
        if len(clusters) != n:
            raise ValueError(f"{len(clusters)} cluster names for {n} scores; give one per score")
        names = np.asarray(clusters)
        for name in sorted(set(clusters)):
            part = residuals[names == name]
            variance += float(part.sum() ** 2 - (part**2).sum()) / n**2
    return float(np.sqrt(max(variance, 0.0)))


def wilson(successes: float, n: float, confidence: float) -> tuple[float, float]:
    """Wilson's score interval of a proportion; sensible at 0 and 1, where the normal interval has no width."""
    if n < 1:
        raise ValueError(f"a proportion needs at least 1 trial, got {n}")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    p = successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * float(np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)))
    return max(0.0, centre - half), min(1.0, centre + half)


def clustered_wilson(scores: Sequence[float], clusters: Sequence[str], confidence: float) -> tuple[float, float]:
    """Wilson's interval of the mean of scores in {0, 1/2, 1}, for as many items as would be worth these clusters.

    That is n SE_iid^2 / SE_clustered^2, between the number of clusters and n; where all scores are the same and no
    correlation can be seen, the number of clusters.
    """
    n, num_clusters = len(scores), len(set(clusters))
    effective = float(num_clusters)
    if min(scores) < max(scores):
        clustered = standard_error(scores, clusters)
        design_effect = (clustered / standard_error(scores)) ** 2
        effective = float(np.clip(n / max(design_effect, 1.0), num_clusters, n))
    return wilson(sum(scores) / n * effective, effective, confidence)
