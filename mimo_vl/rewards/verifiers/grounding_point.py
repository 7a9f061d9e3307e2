"""Reward of point grounding: 1 if the point lies in the closed reference box, else 0 (report 3.1).

Several points: best one-to-one matching, divided by max(#predicted, #true), so that spraying points does not pay.
"""

from __future__ import annotations

from mimo_vl.answers.geometry import matched_mean
from mimo_vl.answers.shapes import extract_points
from mimo_vl.rewards.verdict import RuleContext, Verdict, Verifier, invalid_reference, scored, unparsable
from mimo_vl.rewards.verifiers.references import reference_boxes
from mimo_vl.schema.reward import ScoreRequest


def verify(request: ScoreRequest, _context: RuleContext) -> Verdict:
    true = reference_boxes(request.reference)
    if true is None:
        return invalid_reference(request, "JSON [x1, y1, x2, y2] with x1 <= x2 and y1 <= y2, or a list of such boxes")
    predicted = extract_points(request.response)
    if predicted.value is None:
        return unparsable(predicted)
    reward = matched_mean(predicted.value, true, lambda point, box: float(box.contains(point)))
    return scored(reward, num_points=float(len(predicted.value)))


VERIFIER = Verifier(name=lambda _config: "point_in_box", version="1", verify=verify)
