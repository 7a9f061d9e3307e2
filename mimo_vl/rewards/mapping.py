"""How a raw score becomes a reward in [0, 1]. Each mapping has a name, which is recorded with the reward."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence


def half_one_plus_giou(giou: float) -> float:
    """(1 + GIoU) / 2: keeps a gradient for boxes that do not overlap."""
    return (1.0 + giou) / 2.0


def clipped_giou(giou: float) -> float:
    """max(0, GIoU)."""
    return max(0.0, giou)


BOX_MAPPINGS: Mapping[str, Callable[[float], float]] = {
    "half_one_plus_giou": half_one_plus_giou,
    "clipped_giou": clipped_giou,
}


def sigmoid(score: float) -> float:
    """P(better than an answer of score 0) under Bradley-Terry; never overflows."""
    if score >= 0:
        return 1.0 / (1.0 + math.exp(-score))
    growth = math.exp(score)
    return growth / (1.0 + growth)


def rank_in_group(scores: Sequence[float], groups: Sequence[Hashable]) -> list[float]:
    """Share of the others in its group that each score beats, ties half: worst 0, best 1, a group of one 0.5."""
    rewards = []
    for score, group in zip(scores, groups, strict=True):
        members = [s for s, g in zip(scores, groups, strict=True) if g == group]
        beaten = sum(1.0 if score > other else 0.5 if score == other else 0.0 for other in members) - 0.5
        rewards.append(beaten / (len(members) - 1) if len(members) > 1 else 0.5)
    return rewards
