"""What the reference of a grounding item says: boxes `[x1,y1,x2,y2]` or a span `[start_s,end_s]`, as JSON."""

from __future__ import annotations

import json
import math

from mimo_vl.answers.geometry import Box
from mimo_vl.answers.temporal import TimeSpan


def reference_boxes(text: str | None) -> tuple[Box, ...] | None:
    """One box or a list of boxes with ordered corners; None when the reference is anything else."""
    value = _load(text)
    rows = value if isinstance(value, list) and value and isinstance(value[0], list) else [value]
    boxes = []
    for row in rows:
        numbers = _numbers(row, 4)
        if numbers is None or numbers[0] > numbers[2] or numbers[1] > numbers[3]:
            return None
        boxes.append(Box(*numbers))
    return tuple(boxes)


def reference_span(text: str | None) -> TimeSpan | None:
    numbers = _numbers(_load(text), 2)
    return None if numbers is None or numbers[0] > numbers[1] else TimeSpan(*numbers)


def _load(text: str | None) -> object:
    try:
        return json.loads(text or "")
    except (ValueError, RecursionError):
        return None


def _numbers(value: object, count: int) -> list[float] | None:
    if not isinstance(value, list) or len(value) != count:
        return None
    if any(isinstance(v, bool) or not isinstance(v, int | float) or not math.isfinite(v) for v in value):
        return None
    return [float(v) for v in value]
