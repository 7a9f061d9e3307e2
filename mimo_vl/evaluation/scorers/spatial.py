"""How well a predicted box or point fits the true box, in pixels of the stored image.

The model answers in pixels of the image as it was sent; predictions are scaled by the sizes recorded with the item.
Box: (1 + GIoU) / 2 under the best matching, so a second box costs. Point: share of points inside, likewise.
"""

from __future__ import annotations

import json

from mimo_vl.answers.extraction import Extraction
from mimo_vl.answers.geometry import Box, Point, giou, iou, matched_mean
from mimo_vl.answers.shapes import extract_boxes, extract_points
from mimo_vl.evaluation.scorers.verdict import failed
from mimo_vl.evaluation.task import EvalItem, ItemScore


def true_box(item: EvalItem) -> Box:
    """The reference `[x1, y1, x2, y2]`, in pixels of the stored image."""
    numbers = json.loads(item.reference)
    if not isinstance(numbers, list) or len(numbers) != 4:
        raise ValueError(f"item {item.sample.id}: reference is {item.reference!r}, wanted a JSON list [x1, y1, x2, y2]")
    return Box(*(float(n) for n in numbers))


def scale_to_stored(item: EvalItem) -> tuple[float, float]:
    """Factors from pixels as sent to pixels as stored."""
    width, height = item.stored_size
    sent_width, sent_height = item.sent_size or item.stored_size
    return width / sent_width, height / sent_height


def score_box(item: EvalItem, response: str) -> ItemScore:
    boxes: Extraction[tuple[Box, ...]] = extract_boxes(response)
    if boxes.value is None:
        return failed(boxes, "box_reward", "box_iou", "box_iou_at_0.5")
    truth, factors = true_box(item), scale_to_stored(item)
    predicted = [box.scaled(*factors) for box in boxes.value]
    reward = matched_mean(predicted, [truth], lambda p, t: (1 + giou(p, t)) / 2)
    overlap = iou(predicted[0], truth) if predicted else 0.0
    metrics = {"score": reward, "box_reward": reward, "box_iou": overlap, "box_iou_at_0.5": float(overlap >= 0.5)}
    return ItemScore(metrics=metrics, parsed=json.dumps([list(b) for b in boxes.value]))


def score_point(item: EvalItem, response: str) -> ItemScore:
    points: Extraction[tuple[Point, ...]] = extract_points(response)
    if points.value is None:
        return failed(points, "point_in_box")
    truth, (factor_x, factor_y) = true_box(item), scale_to_stored(item)
    predicted = [Point(p.x * factor_x, p.y * factor_y) for p in points.value]
    reward = matched_mean(predicted, [truth], lambda p, t: float(t.contains(p)))
    return ItemScore(
        metrics={"score": reward, "point_in_box": reward}, parsed=json.dumps([list(p) for p in points.value])
    )
