"""Reward of box grounding: GIoU with the reference, mapped to [0, 1] as configured (report 3.1).

Several boxes: best one-to-one matching of mapped GIoU, divided by max(#predicted, #true), so that extra boxes cost.
An answer without a readable box gets 0, whatever the mapping.
"""

from __future__ import annotations

from mimo_vl.answers.geometry import giou, iou, matched_mean
from mimo_vl.answers.shapes import extract_boxes
from mimo_vl.rewards.mapping import BOX_MAPPINGS
from mimo_vl.rewards.verdict import RuleContext, Verdict, Verifier, invalid_reference, scored, unparsable
from mimo_vl.rewards.verifiers.references import reference_boxes
from mimo_vl.schema.reward import ScoreRequest


def verify(request: ScoreRequest, context: RuleContext) -> Verdict:
    true = reference_boxes(request.reference)
    if true is None:
        return invalid_reference(request, "JSON [x1, y1, x2, y2] with x1 <= x2 and y1 <= y2, or a list of such boxes")
    predicted = extract_boxes(request.response)
    if predicted.value is None:
        return unparsable(predicted)
    to_reward = BOX_MAPPINGS[context.config.box_mapping]
    reward = matched_mean(predicted.value, true, lambda p, t: to_reward(giou(p, t)))
    # Raw values of the best pair, for logs; the reward alone is trained on.
    pairs = [(p, t) for p in predicted.value for t in true]
    breakdown = {"num_boxes": float(len(predicted.value)), "swapped": float("swapped" in predicted.flags)}
    if pairs:
        breakdown |= {"giou": max(giou(p, t) for p, t in pairs), "iou": max(iou(p, t) for p, t in pairs)}
    return scored(reward, **breakdown)


VERIFIER = Verifier(name=lambda config: config.box_mapping, version="1", verify=verify)
