"""What the reports of the data stages say, as metrics: samples kept by dataset, dropped by reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from mimo_vl.observability.metrics import SAMPLES_DROPPED, SAMPLES_KEPT

# Fates of a prompt that keep it (rl/curation.py); the other keys of a dataset whose fates are counted are reasons.
_KEPT = ("kept", "kept_to_fill")
_PAIR_SIZES = ("train_pairs", "heldout_pairs")


def curation_metrics(report: Mapping[str, Any]) -> dict[str, float]:
    """Of report.json of `curate`."""
    kept = {name: dataset["kept"] for name, dataset in report["datasets"].items()}
    dropped: Counter[str] = Counter()
    for dataset in report["datasets"].values():
        dropped.update(dataset["dropped"])
    return _values(kept, dropped)


def selection_metrics(report: Mapping[str, Mapping[str, int]]) -> dict[str, float]:
    """Of report.json of `curate-rl`: prompts by fate, and pairs with the ties that gave none."""
    kept: dict[str, int] = {}
    dropped: Counter[str] = Counter()
    for name, counts in report.items():
        kept[name] = sum(counts.get(fate, 0) for fate in _KEPT)
        dropped.update({reason: n for reason, n in counts.items() if reason not in (*_KEPT, *_PAIR_SIZES)})
    return _values(kept, dropped)


def _values(kept: Mapping[str, int], dropped: Mapping[str, int]) -> dict[str, float]:
    values = {SAMPLES_KEPT.of(name): float(count) for name, count in sorted(kept.items())}
    return values | {SAMPLES_DROPPED.of(reason): float(count) for reason, count in sorted(dropped.items())}
