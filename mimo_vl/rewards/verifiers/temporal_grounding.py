"""Reward of temporal grounding: temporal IoU with the reference span (report 3.1)."""

from __future__ import annotations

from mimo_vl.answers.temporal import temporal_iou
from mimo_vl.answers.timespans import extract_timespan
from mimo_vl.rewards.verdict import RuleContext, Verdict, Verifier, invalid_reference, scored, unparsable
from mimo_vl.rewards.verifiers.references import reference_span
from mimo_vl.schema.reward import ScoreRequest


def verify(request: ScoreRequest, _context: RuleContext) -> Verdict:
    true = reference_span(request.reference)
    if true is None:
        return invalid_reference(request, "JSON [start_s, end_s] with start_s <= end_s")
    predicted = extract_timespan(request.response)
    if predicted.value is None:
        return unparsable(predicted)
    swapped = float("swapped" in predicted.flags)
    start_s, end_s = predicted.value
    return scored(temporal_iou(predicted.value, true), start_s=start_s, end_s=end_s, swapped=swapped)


VERIFIER = Verifier(name=lambda _config: "temporal_iou", version="1", verify=verify)
