"""Base, SFT and RL side by side: per family, paired and Holm-corrected, and the mean reward of sampled answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mimo_vl.evaluation.score import aggregate, item_scores
from mimo_vl.evaluation.statistics import (
    PairedDifference,
    holm_confidences,
    macro_mean_estimate,
    paired_difference,
)
from mimo_vl.evaluation.task import TaskSpec
from mimo_vl.schema.evaluation import UNSCORED, FamilyComparison, ItemResult, MeanReward

# Results of one model: by family, in item order.
FamilyResults = Mapping[str, Sequence[ItemResult]]
BASE, SFT, RL = "base", "sft", "rl"
# Holm tests this claim per family: RL is worse than SFT by more than three points.
REGRESSION_MARGIN = -0.03


def compare_families(
    suite: Sequence[TaskSpec], results: Mapping[str, FamilyResults], confidence: float
) -> list[FamilyComparison]:
    """One comparison per task, in suite order; without results of RL its fields are None."""
    differences = _differences(suite, results) if SFT in results and RL in results else {}
    levels = holm_confidences([d.p_below(REGRESSION_MARGIN) for d in differences.values()], confidence)
    level_of = dict(zip(differences, levels, strict=True))
    comparisons = []
    for task in suite:
        models = {name: aggregate(task, families[task.family], confidence) for name, families in results.items()}
        difference = differences.get(task.family)
        comparisons.append(
            FamilyComparison(
                name=task.family,
                metric=task.metric,
                n=max(score.n for score in models.values()),
                models=models,
                rl_minus_sft=difference.mean if difference else None,
                rl_minus_sft_ci=difference.interval(level_of[task.family]) if difference else None,
                rl_minus_sft_ci_uncorrected=difference.interval(confidence) if difference else None,
            )
        )
    return comparisons


def compare_rewards(
    suite: Sequence[TaskSpec], sampled: Mapping[str, FamilyResults], *, confidence: float, draws: int, seed: int
) -> MeanReward:
    """Unweighted mean over the verifiable families; the interval of the difference is a stratified bootstrap.

    The difference of each item is one observation: both models saw the same prompt with the same random numbers.
    """
    tasks = [task for task in suite if task.is_verifiable]
    scores = {
        model: {task.family: item_scores(task, families[task.family]) for task in tasks}
        for model, families in sampled.items()
    }
    counts = {m: sum(r.status in UNSCORED for t in tasks for r in f[t.family]) for m, f in sampled.items()}
    unscored = {m: count for m, count in counts.items() if count}
    means = {m: {f: float(np.mean(list(s.values()))) for f, s in by_family.items()} for m, by_family in scores.items()}
    values = {m: float(np.mean(list(by_family.values()))) for m, by_family in means.items()}
    if SFT not in values or RL not in values:
        return MeanReward(sft=values.get(SFT), rl=values.get(RL), families=means, unscored=unscored)
    strata = []
    for task in tasks:
        rl, sft = _on_common_items(scores[RL][task.family], scores[SFT][task.family])
        strata.append(np.asarray(rl) - np.asarray(sft))
    difference = macro_mean_estimate(strata, confidence=confidence, draws=draws, seed=seed)
    return MeanReward(
        sft=values[SFT],
        rl=values[RL],
        rl_minus_sft=difference.value,
        rl_minus_sft_ci=difference.interval,
        n=difference.n,
        families=means,
        unscored=unscored,
    )


def _differences(suite: Sequence[TaskSpec], results: Mapping[str, FamilyResults]) -> dict[str, PairedDifference]:
    differences = {}
    for task in suite:
        rl, sft = (item_scores(task, results[model][task.family]) for model in (RL, SFT))
        differences[task.family] = paired_difference(*_on_common_items(rl, sft))
    return differences


def _on_common_items(a: Mapping[str, float], b: Mapping[str, float]) -> tuple[list[float], list[float]]:
    """Scores of the items that both models have (an unscored item of one leaves the pair out)."""
    common = [item_id for item_id in a if item_id in b]
    return [a[i] for i in common], [b[i] for i in common]
