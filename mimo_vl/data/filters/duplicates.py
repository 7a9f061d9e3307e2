"""Has the same record been seen before in this shard? Same words, same media. Reason: duplicate."""

from __future__ import annotations

import hashlib

from mimo_vl.canonical import canonical_json
from mimo_vl.data.record import Record
from mimo_vl.data.step import KEEP, Judge, Verdict, drop


def new_duplicate_judge() -> Judge:
    """A judge with an empty memory: make one per shard."""
    seen: set[bytes] = set()

    def judge(record: Record) -> Verdict:
        content = {
            "messages": [m.model_dump(mode="json") for m in record.sample.messages],
            "media": [m.sha256 for m in record.sample.media],
        }
        key = hashlib.sha256(canonical_json(content)).digest()
        if key in seen:
            return drop("duplicate")
        seen.add(key)
        return KEEP

    return judge
