"""Is the stated count or time span the true one."""

from __future__ import annotations

import json

from mimo_vl.answers.numbers import extract_count
from mimo_vl.answers.temporal import TimeSpan, temporal_iou
from mimo_vl.answers.timespans import extract_timespan
from mimo_vl.evaluation.scorers.verdict import failed
from mimo_vl.evaluation.task import EvalItem, ItemScore


def score_count(item: EvalItem, response: str) -> ItemScore:
    """Integer equality: `3.0` and `three` are 3; 3.5 is a format error."""
    count = extract_count(response)
    if count.value is None:
        return failed(count)
    return ItemScore(metrics={"score": float(count.value == int(item.reference))}, parsed=str(count.value))


def score_timespan(item: EvalItem, response: str) -> ItemScore:
    """Temporal IoU with the reference `[start_s, end_s]`; R@1 at 0.5 beside it."""
    span = extract_timespan(response)
    if span.value is None:
        return failed(span, "recall_at_0.5")
    truth = json.loads(item.reference)
    if not isinstance(truth, list) or len(truth) != 2:
        raise ValueError(f"item {item.sample.id}: reference is {item.reference!r}, wanted a JSON list [start_s, end_s]")
    overlap = temporal_iou(span.value, TimeSpan(float(truth[0]), float(truth[1])))
    return ItemScore(
        metrics={"score": overlap, "recall_at_0.5": float(overlap >= 0.5)},
        parsed=json.dumps([span.value.start_s, span.value.end_s]),
    )
