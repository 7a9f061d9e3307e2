"""Has the same record been seen before? Same words, same media. Reason: duplicate.

A shard knows its own records alone, so that shards can be made in any order; duplicates in different shards are found
when the dataset is sealed (writers/dataset.py).
"""

from __future__ import annotations

from collections.abc import Set

from mimo_vl.data.record import Record, content_digest
from mimo_vl.data.step import KEEP, Judge, Verdict, drop


def new_duplicate_judge(known: Set[str] = frozenset()) -> Judge:
    """A judge with a memory of its own: make one per shard. `known`: digests of the records of other shards."""
    seen = set(known)

    def judge(record: Record) -> Verdict:
        key = content_digest(record)
        if key in seen:
            return drop("duplicate")
        seen.add(key)
        return KEEP

    return judge
