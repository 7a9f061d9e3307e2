"""How often does a reward model rank a held-out pair right, and how sure is that? Pairs of one query share prompt and
answers, so the interval is clustered by query.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mimo_vl.intervals import clustered_wilson
from mimo_vl.schema.sample import PreferencePair

CONFIDENCE = 0.95


def pair_accuracy(pairs: Sequence[PreferencePair], right: Mapping[int, float]) -> dict[str, float]:
    """`right`: 1, or 1/2 for a tie, or 0 per index of a pair. Accuracy and interval over all pairs, and, by suffix,
    over pairs of two SFT answers (`sft_sft`) and of one of each model (`base_sft`), where there are any.
    """
    values: dict[str, float] = {}
    by_models: dict[str, list[int]] = {"": list(range(len(pairs)))}
    for index, pair in enumerate(pairs):
        by_models.setdefault("_" + "_".join(sorted((pair.chosen_by, pair.rejected_by))), []).append(index)
    for suffix, members in sorted(by_models.items()):
        scores = [right[i] for i in members]
        queries = [pairs[i].prompt.id for i in members]
        low, high = clustered_wilson(scores, queries, CONFIDENCE)
        values |= {
            f"pairwise_accuracy{suffix}": sum(scores) / len(scores),
            f"ci_low{suffix}": low,
            f"ci_high{suffix}": high,
            f"heldout_pairs{suffix}": float(len(members)),
            f"heldout_queries{suffix}": float(len(set(queries))),
        }
    return values
