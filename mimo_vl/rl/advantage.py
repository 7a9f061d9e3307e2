"""What each answer of a group is worth compared with the others, and how much each of its tokens counts.

Report 3.3, equation (2): A_i = (r_i - mean(r_1..r_G)) / std(r_1..r_G); std in population form with a small epsilon.
Equation (1) divides by the tokens of the group and averages over prompts: w = 1 / (sum_i |o_i| * number of groups).
Both need the complete group, so they are computed here, before any micro-batch is cut, and travel with each sample.
Left out, as in the report: KL term, format reward, length penalty.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Literal

# Far below any spread that passes the group filter (min_group_std), so it only guards the division.
STD_EPSILON = 1e-6

TokenNormalisation = Literal["group", "batch"]


def group_advantages(rewards: Sequence[float]) -> list[float]:
    """A_i of one group; zeros when all rewards are equal."""
    mean = statistics.fmean(rewards)
    std = statistics.pstdev(rewards)
    return [(reward - mean) / (std + STD_EPSILON) for reward in rewards]


def has_signal(rewards: Sequence[float], min_std: float) -> bool:
    """The keep rule of dynamic sampling: for 0/1 rewards, neither all right nor all wrong."""
    return statistics.pstdev(rewards) > min_std


def token_weights(group_lengths: Sequence[Sequence[int]], normalisation: TokenNormalisation) -> list[float]:
    """Weight of one token of each group; `group_lengths[g]` = answer lengths in tokens of group g.

    "group" (the report): 1 / (tokens of the group * groups): long groups do not outweigh short ones.
    "batch" (DAPO): 1 / (tokens of the batch).
    """
    totals = [sum(lengths) for lengths in group_lengths]
    if min(totals) < 1:
        raise ValueError(f"a group of {list(group_lengths)} has no token; an answer holds at least its end token")
    if normalisation == "batch":
        return [1.0 / sum(totals)] * len(totals)
    return [1.0 / (total * len(totals)) for total in totals]
