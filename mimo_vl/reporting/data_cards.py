"""What curation kept and dropped, and why, from the report.json that a curation stage leaves.

`curate` counts samples of each dataset; `curate-rl` counts prompts by what became of them, and pairs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

REPORT_FILE = "report.json"
_KEPT = ("kept", "kept_to_fill")
# Counts of pairs that are not one of a sample's fates.
_DERIVED = ("train_pairs", "heldout_pairs")


@dataclass(frozen=True, kw_only=True)
class DataCard:
    """`dropped`: by reason. `sizes`: such as tokens and patches."""

    stage: str
    dataset: str
    kept: int
    dropped: Mapping[str, int] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)

    @property
    def seen(self) -> int:
        return self.kept + sum(self.dropped.values())


def data_cards(stage: str, data: bytes) -> list[DataCard]:
    """By name of the dataset; what is not written like a count of samples is left out."""
    report = json.loads(data)
    datasets = report.get("datasets") if isinstance(report.get("datasets"), dict) else report
    return sorted(_cards(stage, datasets), key=lambda card: card.dataset)


def _cards(stage: str, datasets: Mapping[str, Any]) -> Iterator[DataCard]:
    for name, counts in datasets.items():
        if not isinstance(counts, dict) or ("kept" not in counts and "kept_to_fill" not in counts):
            continue
        kept = sum(int(counts.get(key, 0)) for key in _KEPT)
        if isinstance(counts.get("dropped"), dict):
            sizes = {key: int(counts[key]) for key in ("tokens", "patches") if key in counts}
            yield DataCard(stage=stage, dataset=name, kept=kept, dropped=counts["dropped"], sizes=sizes)
            continue
        dropped = {key: int(n) for key, n in counts.items() if key not in (*_KEPT, *_DERIVED)}
        sizes = {key: int(counts[key]) for key in _DERIVED if key in counts}
        yield DataCard(stage=stage, dataset=name, kept=kept, dropped=dropped, sizes=sizes)
