"""How well two time spans agree."""

from __future__ import annotations

from typing import NamedTuple


class TimeSpan(NamedTuple):
    start_s: float
    end_s: float


def temporal_iou(a: TimeSpan, b: TimeSpan) -> float:
    """max(0, min ends - max starts) / (max ends - min starts), in [0, 1]; 0 when the denominator is 0."""
    extent = max(a.end_s, b.end_s) - min(a.start_s, b.start_s)
    return max(0.0, min(a.end_s, b.end_s) - max(a.start_s, b.start_s)) / extent if extent > 0 else 0.0
