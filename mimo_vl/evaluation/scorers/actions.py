"""Does a predicted GUI step do what the true one does (released GUI protocol, see mimo_vl/answers/actions.py)."""

from __future__ import annotations

import json
from dataclasses import replace

from mimo_vl.answers.actions import Action, extract_action, parse_action, steps_match, types_match
from mimo_vl.answers.geometry import Box, Point
from mimo_vl.evaluation.scorers.spatial import scale_to_stored
from mimo_vl.evaluation.scorers.verdict import failed
from mimo_vl.evaluation.task import EvalItem, ItemScore


def score_gui_step(item: EvalItem, response: str) -> ItemScore:
    """1 if name and arguments match; a click also counts inside the target box enlarged 1.2 times."""
    predicted = predicted_action(item, response)
    if predicted is None:
        width, height = item.sent_size or item.stored_size
        return failed(extract_action(response, width=width, height=height), "action_type")
    true = _true_action(item)
    is_match = steps_match(predicted, true, size=item.stored_size, boxes=target_boxes(item))
    metrics = {"score": float(is_match), "action_type": float(types_match(predicted, true))}
    return ItemScore(metrics=metrics, parsed=_describe(predicted))


def predicted_action(item: EvalItem, response: str) -> Action | None:
    """The action with its points in pixels of the stored image; None if it cannot be read."""
    width, height = item.sent_size or item.stored_size
    action = extract_action(response, width=width, height=height).value
    if action is None:
        return None
    factors = scale_to_stored(item)
    return replace(
        action, start_point=_scaled(action.start_point, factors), end_point=_scaled(action.end_point, factors)
    )


def target_boxes(item: EvalItem) -> list[Box]:
    """meta["boxes"], in pixels of the stored image: what a step may point at; empty if it points at nothing."""
    return [Box(*(float(v) for v in box)) for box in json.loads(item.sample.meta.get("boxes", "[]"))]


def _true_action(item: EvalItem) -> Action:
    width, height = item.stored_size
    parsed = parse_action(json.loads(item.reference), width=width, height=height)
    if parsed.value is None:
        raise ValueError(f"item {item.sample.id}: reference {item.reference!r} is no action: {parsed.reason}")
    return parsed.value


def _scaled(point: Point | None, factors: tuple[float, float]) -> Point | None:
    return Point(point.x * factors[0], point.y * factors[1]) if point else None


def _describe(action: Action) -> str:
    arguments = [action.start_point, action.end_point, action.direction, action.text, *action.keys, action.app]
    shown = [str(list(a)) if isinstance(a, Point) else str(a) for a in arguments if a is not None]
    return " ".join([action.name, *shown])
