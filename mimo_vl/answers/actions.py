"""The GUI action space of the report: 12 actions, one JSON object each; parse, validate, and match one step.

Coordinates are absolute pixels of the image as the model saw it. Scroll directions follow the finger (swipe): "up"
reveals what is below. Invalid actions are errors with a reason, never repaired.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import cast

from mimo_vl.answers.extraction import Extraction, answer_part, carry_error, format_error, found
from mimo_vl.answers.geometry import Box, Point


class ActionName(StrEnum):
    CLICK = "click"
    SCROLL = "scroll"
    INPUT = "input"
    DRAG = "drag"
    OPEN = "open"
    PRESS = "press"
    FINISHED = "finished"
    LONGPRESS = "longpress"
    HOVER = "hover"
    SELECT = "select"
    WAIT = "wait"
    APPSWITCH = "appswitch"


class Direction(StrEnum):
    UP = "up"
    DOWN = "down"
    LEFT = "left"
    RIGHT = "right"


# Swiping up moves the view down. Data sets that name the view's movement flip on both axes, on the way in and out.
OPPOSITE = {
    Direction.UP: Direction.DOWN,
    Direction.DOWN: Direction.UP,
    Direction.LEFT: Direction.RIGHT,
    Direction.RIGHT: Direction.LEFT,
}


@dataclass(frozen=True, kw_only=True)
class Action:
    name: ActionName
    start_point: Point | None = None
    end_point: Point | None = None
    direction: Direction | None = None
    scroll_distance: float | None = None
    text: str | None = None
    keys: tuple[str, ...] = ()
    status: str | None = None
    app: str | None = None


# Action -> (required fields, optional fields).
_FIELDS: Mapping[ActionName, tuple[frozenset[str], frozenset[str]]] = {
    name: (frozenset(required), frozenset(optional))
    for name, required, optional in (
        (ActionName.CLICK, ["start_point"], ["text"]),
        (ActionName.SCROLL, ["direction"], ["scroll_distance"]),
        (ActionName.INPUT, ["text"], ["start_point"]),
        (ActionName.DRAG, ["start_point", "end_point"], []),
        (ActionName.OPEN, ["app"], []),
        (ActionName.PRESS, ["keys"], []),
        (ActionName.FINISHED, ["status"], []),
        (ActionName.LONGPRESS, ["start_point"], []),
        (ActionName.HOVER, [], []),
        (ActionName.SELECT, ["text"], []),
        (ActionName.WAIT, [], []),
        (ActionName.APPSWITCH, ["app"], []),
    )
}
_FENCE = re.compile(r"```json\s*(.*?)(?:```|\Z)", re.DOTALL | re.IGNORECASE)
_BARE = re.compile(r'\{\s*"action"\s*:.*\}', re.DOTALL)


def extract_action(response: str, *, width: int, height: int) -> Extraction[Action]:
    """The fenced `json` block, else from the first `{"action":` to the last `}`; the first action of a list."""
    part = answer_part(response)
    if part.value is None:
        return carry_error(part)
    blocks = _FENCE.findall(part.value)
    bare = _BARE.search(part.value)
    text = blocks[-1] if blocks else (bare[0] if bare else "")
    if not text:
        return format_error('no ```json block and no {"action": ...}')
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        return format_error(f"broken JSON: {str(error)[:80]}")
    first = value[0] if isinstance(value, list) and value else value
    return parse_action(first, width=width, height=height)


def parse_action(value: object, *, width: int, height: int) -> Extraction[Action]:
    """Validate one decoded JSON object. `app_name` is read as `app`."""
    if not isinstance(value, dict):
        return format_error(f"an action is a JSON object, got {type(value).__name__}")
    fields = {("app" if k == "app_name" else str(k)): v for k, v in value.items()}
    name = fields.pop("action", None)
    if name not in [a.value for a in ActionName]:
        return format_error(f"unknown action {str(name)[:40]!r}; one of {', '.join(ActionName)}")
    required, optional = _FIELDS[ActionName(name)]
    missing, extra = sorted(required - set(fields)), sorted(set(fields) - required - optional)
    if missing or extra:
        return format_error(f"{name}: missing {missing}, unknown {extra}")
    parsed: dict[str, object] = {}
    for key, raw in fields.items():
        result = _field(key, raw, width, height)
        if result is None:
            return format_error(f"{name}.{key}: {str(raw)[:60]!r} is not valid in a {width}x{height} image")
        parsed[key] = result
    return found(Action(name=ActionName(name), **parsed))  # type: ignore[arg-type]


def _field(key: str, raw: object, width: int, height: int) -> object | None:
    """The parsed value, or None when it is not valid."""
    if key in ("start_point", "end_point"):
        return _point(raw, width, height)
    if key == "direction":
        return Direction(raw) if raw in [d.value for d in Direction] else None
    if key == "scroll_distance":
        return float(raw) if _is_finite(raw) else None  # type: ignore[arg-type]
    if key == "keys":
        is_list = isinstance(raw, list) and bool(raw) and all(isinstance(k, str) and k for k in raw)
        return tuple(str(k) for k in cast("list[object]", raw)) if is_list else None
    return raw if isinstance(raw, str) else None


def _point(raw: object, width: int, height: int) -> Point | None:
    if not isinstance(raw, list) or len(raw) != 2 or not all(_is_finite(v) for v in raw):
        return None
    point = Point(float(raw[0]), float(raw[1]))
    return point if 0 <= point.x <= width and 0 <= point.y <= height else None


def _is_finite(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


# Released code: candidate boxes grow by this about their centres before a click is tested.
BOX_ENLARGEMENT = 1.2
_TYPE_ALONE = (ActionName.WAIT, ActionName.FINISHED, ActionName.HOVER)


def types_match(predicted: Action, true: Action) -> bool:
    return predicted.name is true.name


def steps_match(
    predicted: Action,
    true: Action,
    *,
    size: tuple[int, int],
    boxes: Sequence[Box] = (),
    max_distance: float = 0.04,
) -> bool:
    """Whether a predicted step does what the true one does (released GUI protocol).

    Args:
        size: width and height that both actions' pixels refer to.
        boxes: candidate targets of a click, in the same pixels.
        max_distance: allowed distance to the true point, relative to width and height.
    """
    if not types_match(predicted, true):
        return False
    if true.name in (ActionName.CLICK, ActionName.LONGPRESS):
        return _points_match(predicted.start_point, true.start_point, size, boxes, max_distance)
    if true.name is ActionName.DRAG:
        ends = ((predicted.start_point, true.start_point), (predicted.end_point, true.end_point))
        return all(_points_match(p, t, size, (), max_distance) for p, t in ends)
    if true.name in (ActionName.INPUT, ActionName.SELECT):
        return _texts_match(predicted.text or "", true.text or "")
    if true.name in _TYPE_ALONE:
        return True
    same_app = (predicted.app or "").strip().casefold() == (true.app or "").strip().casefold()
    return predicted.direction is true.direction and predicted.keys == true.keys and same_app


def _points_match(
    predicted: Point | None, true: Point | None, size: tuple[int, int], boxes: Sequence[Box], max_distance: float
) -> bool:
    if predicted is None or true is None:
        return False
    if any(box.enlarged(BOX_ENLARGEMENT).contains(predicted) for box in boxes):
        return True
    distance = math.hypot((predicted.x - true.x) / size[0], (predicted.y - true.y) / size[1])
    return distance <= max_distance


def _texts_match(predicted: str, true: str) -> bool:
    """Either contains the other; an empty prediction matches only an empty truth."""
    a, b = predicted.strip().casefold(), true.strip().casefold()
    return a == b if not a or not b else a in b or b in a
