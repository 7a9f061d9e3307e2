"""A data card: what an input of a stage holds, as a Markdown table. Made of the report that a data stage leaves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_FIRST = ("seen", "kept", "train_pairs", "heldout_pairs", "tokens", "patches")


def data_card(name: str, *, uri: str, digest: str, report: Mapping[str, Any]) -> str:
    """`report`: dataset -> its counts, or {"datasets": {dataset -> counts}}. Maps of counts are reasons for drops."""
    datasets = report.get("datasets", report)
    rows = {dataset: counts for dataset, counts in sorted(datasets.items()) if isinstance(counts, Mapping)}
    found = {key for counts in rows.values() for key in counts}
    columns = [key for key in _FIRST if key in found] + sorted(found - set(_FIRST))
    lines = [f"# Data card: {name}", "", f"- artifact: `{uri}`", f"- digest: `{digest}`", ""]
    lines += ["| dataset | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for dataset, counts in rows.items():
        lines.append(f"| {dataset} | " + " | ".join(_cell(counts.get(key)) for key in columns) + " |")
    return "\n".join(lines) + "\n"


def _cell(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{reason}: {count}" for reason, count in sorted(value.items())) or "–"
    if value is None:
        return "–"
    return f"{value:,}".replace(",", " ") if isinstance(value, int) else str(value)
