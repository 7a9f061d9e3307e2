"""Which boxes and points an answer gives: `bbox_2d`, `point_2d` objects or bare lists in its last JSON block."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass

from mimo_vl.answers.extraction import Extraction, answer_part, carry_error, format_error, found
from mimo_vl.answers.geometry import Box, Point, ordered

# Untrusted text: the JSON of an answer is short, so only the tail is searched.
MAX_JSON_CHARS = 20_000
_FENCE = re.compile(r"```json\s*(.*?)(?:```|\Z)", re.DOTALL | re.IGNORECASE)
_OPENING = re.compile(r"[\[{]")
_OBJECT_START = re.compile(r'\{\s*"')
_NEXT_OBJECT = re.compile(r"[\s,]*(?=\{)")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True)
class Shape:
    geometry: Box | Point
    label: str = ""


@dataclass(frozen=True)
class _Decoded:
    value: object
    is_truncated: bool = False


def extract_shapes(response: str) -> Extraction[tuple[Shape, ...]]:
    """All shapes in order; an empty list is a valid answer ("nothing there").

    Flags: `swapped` (corners sorted), `truncated_json` (only the complete objects are kept).
    """
    part = answer_part(response)
    if part.value is None:
        return carry_error(part)
    decoded = last_json(part.value)
    if decoded is None:
        return format_error("no JSON list or object in the answer")
    return _shapes(decoded)


def extract_boxes(response: str) -> Extraction[tuple[Box, ...]]:
    """Boxes only; a point among them is a format error."""
    shapes = extract_shapes(response)
    if shapes.value is None:
        return carry_error(shapes)
    boxes = tuple(s.geometry for s in shapes.value if isinstance(s.geometry, Box))
    return (
        found(boxes, *shapes.flags) if len(boxes) == len(shapes.value) else format_error("wanted bbox_2d, got a point")
    )


def extract_points(response: str) -> Extraction[tuple[Point, ...]]:
    """Points only; a box among them is a format error."""
    shapes = extract_shapes(response)
    if shapes.value is None:
        return carry_error(shapes)
    points = tuple(s.geometry for s in shapes.value if isinstance(s.geometry, Point))
    return (
        found(points, *shapes.flags) if len(points) == len(shapes.value) else format_error("wanted point_2d, got a box")
    )


def last_json(text: str) -> _Decoded | None:
    """The last fenced `json` block, else the last JSON list or object in `text`."""
    tail = text[-MAX_JSON_CHARS:]
    blocks = _FENCE.findall(tail)
    try:
        values = _scan(blocks[-1] if blocks else tail)
    except RecursionError:
        return None  # no answer nests that deep, and each of its brackets would cost another failed parse
    return values[-1] if values else None


def _scan(text: str) -> list[_Decoded]:
    values: list[_Decoded] = []
    position = 0
    while (position := _next_opening(text, position)) >= 0:
        decoded = _decode(text, position)
        if decoded is None:
            if _OBJECT_START.match(text, position):
                break  # an object that was cut off: the lists inside it are not answers
            salvaged, position = _complete_objects(text, position)
            if salvaged:
                values.append(_Decoded(salvaged, is_truncated=True))
        else:
            value, position = decoded
            values.append(_Decoded(value))
    return values


def _next_opening(text: str, start: int) -> int:
    match = _OPENING.search(text, start)
    return match.start() if match else -1


def _decode(text: str, start: int) -> tuple[object, int] | None:
    try:
        return _DECODER.raw_decode(text, start)
    except ValueError:
        return None


def _complete_objects(text: str, start: int) -> tuple[list[object], int]:
    """Objects that are whole in a list that is not: `[{...}, {...}, {"bbox` gives two; and where they end."""
    objects: list[object] = []
    position = start + 1
    if text[start] != "[":
        return objects, position
    while match := _NEXT_OBJECT.match(text, position):
        decoded = _decode(text, match.end())
        if decoded is None:
            break
        objects.append(decoded[0])
        position = decoded[1]
    return objects, position


def _shapes(decoded: _Decoded) -> Extraction[tuple[Shape, ...]]:
    value = decoded.value
    items = [value] if isinstance(value, dict) or _is_number_list(value) else value
    assert isinstance(items, list)
    flags = ["truncated_json"] if decoded.is_truncated else []
    shapes: list[Shape] = []
    for item in items:
        shape = _shape(item)
        if isinstance(shape, str):
            return format_error(shape)
        shapes.append(shape[0])
        if shape[1] and "swapped" not in flags:
            flags.append("swapped")
    return found(tuple(shapes), *flags)


def _is_number_list(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, int | float) for v in value)


def _shape(item: object) -> tuple[Shape, bool] | str:
    """The shape and whether its corners were swapped, or what is wrong."""
    numbers, wanted, label = item, [2, 4], ""
    if isinstance(item, dict):
        key = next((k for k in ("bbox_2d", "point_2d") if k in item), None)
        if key is None:
            return "an object has neither bbox_2d nor point_2d"
        numbers, wanted, label = item[key], [4 if key == "bbox_2d" else 2], str(item.get("label", ""))
    coordinates = _finite(numbers)
    if coordinates is None or len(coordinates) not in wanted:
        return f"wanted {' or '.join(map(str, wanted))} finite numbers, got {str(numbers)[:60]}"
    if len(coordinates) == 2:
        return Shape(Point(*coordinates), label), False
    box, was_swapped = ordered(*coordinates)
    return Shape(box, label), was_swapped


def _finite(value: object) -> list[float] | None:
    if not isinstance(value, list) or any(isinstance(v, bool) or not isinstance(v, int | float) for v in value):
        return None
    try:
        numbers = [float(v) for v in value]
    except OverflowError:
        return None
    return numbers if all(math.isfinite(n) for n in numbers) else None
