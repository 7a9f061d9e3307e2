"""Draw a prediction into its picture: the true box in green, the predicted box or point in orange."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence

from PIL import Image, ImageDraw

from mimo_vl.answers.geometry import Box, Point
from mimo_vl.answers.shapes import extract_shapes
from mimo_vl.evaluation.scorers.actions import predicted_action, target_box
from mimo_vl.evaluation.scorers.spatial import scale_to_stored, true_box
from mimo_vl.evaluation.task import EvalItem

TRUE_COLOUR, PREDICTED_COLOUR = (44, 156, 105), (226, 98, 43)
# Small pictures are enlarged to about this side, by a whole factor so that pixels stay sharp.
SHOWN_SIDE_PX = 336


def draw_prediction(item: EvalItem, image_bytes: bytes, response: str) -> bytes:
    """PNG bytes; without shapes to draw, the enlarged picture itself."""
    image = Image.open(io.BytesIO(image_bytes)).convert("RGB")
    zoom = max(1, round(SHOWN_SIDE_PX / max(image.size)))
    image = image.resize((image.width * zoom, image.height * zoom), Image.Resampling.NEAREST)
    pencil = ImageDraw.Draw(image)
    for box in _true_shapes(item):
        _draw_box(pencil, box.scaled(zoom, zoom), TRUE_COLOUR)
    for shape in _predicted_shapes(item, response):
        if isinstance(shape, Box):
            _draw_box(pencil, shape.scaled(zoom, zoom), PREDICTED_COLOUR)
        else:
            _draw_cross(pencil, Point(shape.x * zoom, shape.y * zoom))
    return _to_png(image)


def draw_filmstrip(frames: Sequence[Image.Image], seconds: Sequence[float], spans: _Spans) -> bytes:
    """Frames side by side; under them the true span in green and the predicted one in orange."""
    zoom = max(1, round(SHOWN_SIDE_PX / 3 / max(frames[0].size)))
    width, height = frames[0].width * zoom, frames[0].height * zoom
    strip = Image.new("RGB", (width * len(frames), height + 18), "white")
    for i, frame in enumerate(frames):
        strip.paste(frame.convert("RGB").resize((width, height), Image.Resampling.NEAREST), (i * width, 0))
    pencil = ImageDraw.Draw(strip)
    end_s = seconds[-1] + (seconds[-1] - seconds[0]) / max(1, len(seconds) - 1)
    per_second = strip.width / max(end_s, 1e-6)
    for span, colour, top in zip(spans, (TRUE_COLOUR, PREDICTED_COLOUR), (height + 2, height + 10), strict=True):
        if span is not None:
            left, right = (min(max(v * per_second, 0), strip.width - 1) for v in span)
            pencil.rectangle((left, top, max(right, left + 2), top + 6), fill=colour)
    return _to_png(strip)


_Spans = tuple[tuple[float, float] | None, tuple[float, float] | None]


def _true_shapes(item: EvalItem) -> list[Box]:
    if item.sample.family == "grounding":
        return [true_box(item)]
    target = target_box(item)
    if target is not None:
        return [target]
    return [Box(*numbers) for numbers in json.loads(item.sample.meta.get("boxes", "[]")) if len(numbers) == 4]


def _predicted_shapes(item: EvalItem, response: str) -> list[Box | Point]:
    """In pixels of the stored image; nothing if the answer gives none."""
    action = predicted_action(item, response)
    if action is not None:
        return [action.start_point] if action.start_point else []
    x, y = scale_to_stored(item)
    return [
        g.scaled(x, y) if isinstance(g, Box) else Point(g.x * x, g.y * y)
        for g in (shape.geometry for shape in extract_shapes(response).value or ())
    ]


def _draw_box(pencil: ImageDraw.ImageDraw, box: Box, colour: tuple[int, int, int]) -> None:
    pencil.rectangle(tuple(box), outline="white", width=5)
    pencil.rectangle(tuple(box), outline=colour, width=3)


def _draw_cross(pencil: ImageDraw.ImageDraw, point: Point) -> None:
    x, y = point
    for colour, width in (("white", 6), (PREDICTED_COLOUR, 3)):
        pencil.line((x - 9, y, x + 9, y), fill=colour, width=width)
        pencil.line((x, y - 9, x, y + 9), fill=colour, width=width)


def _to_png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
