"""Is a step's work shared evenly by the ranks? All wait for the one with the most: fullest rank by the mean of all."""

from __future__ import annotations

from collections.abc import Sequence

from mimo_vl.observability.metrics import PATCH_IMBALANCE, TOKEN_IMBALANCE
from mimo_vl.training.callbacks.callback import StepReport
from mimo_vl.training.world import World, gather_objects


def rank_balance(report: StepReport, world: World) -> dict[str, float]:
    """A collective: every rank calls it."""
    by_rank = gather_objects((report.rank_tokens, report.rank_patches), world)
    return {
        TOKEN_IMBALANCE.name: imbalance([tokens for tokens, _ in by_rank]),
        PATCH_IMBALANCE.name: imbalance([patches for _, patches in by_rank]),
    }


def imbalance(counts: Sequence[int]) -> float:
    """Largest by mean, from 1 (even; also where nobody has any, so that nobody waits) to the number of ranks."""
    return max(counts) * len(counts) / sum(counts) if any(counts) else 1.0
