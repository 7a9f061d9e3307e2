"""How do sampled answers become preference pairs? Every two different answers are judged in both orders (report 3.2).

Kept: pairs on which both orders agree and that are no tie. The split into training and held-out pairs is by query
source, so a held-out pair never shares its query with a training pair.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mimo_vl.rewards.judge import Choice, Judge, compare_both_orders
from mimo_vl.schema.sample import AnswerModel, PreferencePair, Sample


@dataclass
class PairCounts:
    """compared = kept + ties + order_dependent + over_cap."""

    counts: Counter[str] = field(default_factory=Counter)

    def add(self, name: str) -> None:
        self.counts[name] += 1


def rank_pairs(
    query: Sample, answers: Mapping[str, AnswerModel], judge: Judge, *, max_pairs: int, counts: PairCounts
) -> list[PreferencePair]:
    """Pairs of one query, at most `max_pairs`, in the order of the answers, which are given with their model."""
    pairs: list[PreferencePair] = []
    for number, (a, b) in enumerate(itertools.combinations(answers, 2)):
        choice = compare_both_orders(judge, query, a, b)
        if choice is None or choice is Choice.TIE:
            counts.add("order_dependent" if choice is None else "ties")
            continue
        if len(pairs) == max_pairs:
            counts.add("over_cap")
            continue
        counts.add("kept")
        chosen, rejected = (a, b) if choice is Choice.A else (b, a)
        pairs.append(
            PreferencePair(
                id=f"{query.id}/{number}",
                prompt=query,
                chosen=chosen,
                rejected=rejected,
                chosen_by=answers[chosen],
                rejected_by=answers[rejected],
                judge=judge.name,
            )
        )
    return pairs


def heldout_queries(queries: Sequence[Sample], *, seed: int, fraction: float) -> set[str]:
    """Ids of held-out queries: the given share of distinct source sets, lowest hashes first."""
    keys = {query.id: "\0".join(sorted(query.source_ids)) or query.id for query in queries}
    ranked = sorted(set(keys.values()), key=lambda key: hashlib.sha256(f"{seed}\0{key}".encode()).digest())
    heldout = set(ranked[: round(fraction * len(ranked))])
    return {name for name, key in keys.items() if key in heldout}
