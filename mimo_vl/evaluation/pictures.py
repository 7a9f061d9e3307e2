"""Draw a prediction into its picture: what is true in green, what was predicted in orange."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw

from mimo_vl.answers.geometry import Box, Point
from mimo_vl.answers.shapes import extract_shapes
from mimo_vl.evaluation.scorers.actions import predicted_action, target_boxes
from mimo_vl.evaluation.scorers.spatial import scale_to_stored
from mimo_vl.evaluation.task import EvalItem

TRUE_COLOUR, PREDICTED_COLOUR = (44, 156, 105), (226, 98, 43)
# Small pictures are enlarged to about this side, by a whole factor so that pixels stay sharp.
SHOWN_SIDE_PX = 336
# A filmstrip is read from left to right: its frames may be smaller.
SHOWN_FRAME_PX = 84
_BAR_PX = 7
_LINE_PX = 3

Span = tuple[float, float]


def draw_prediction(item: EvalItem, image_bytes: bytes, response: str) -> bytes:
    """PNG bytes; without shapes to draw, the enlarged picture itself."""
    image = Image.open(io.BytesIO(image_bytes)).convert("RGB")
    zoom = max(1, round(SHOWN_SIDE_PX / max(image.size)))
    image = image.resize((image.width * zoom, image.height * zoom), Image.Resampling.NEAREST)
    pencil = ImageDraw.Draw(image)
    for box in target_boxes(item):
        _draw_box(pencil, box.scaled(zoom, zoom), TRUE_COLOUR, outset=_LINE_PX)
    for shape in _predicted_shapes(item, response):
        if isinstance(shape, Box):
            _draw_box(pencil, shape.scaled(zoom, zoom), PREDICTED_COLOUR, outset=0)
        else:
            _draw_cross(pencil, Point(shape.x * zoom, shape.y * zoom))
    return _to_png(image)


def draw_filmstrip(
    frames: Sequence[Image.Image], duration_s: float, *, true: Span | None, predicted: Span | None
) -> bytes:
    """Frames side by side; below them a bar from start to end for the true span, and one for the predicted span."""
    zoom = max(1, round(SHOWN_FRAME_PX / max(frames[0].size)))
    width, height = frames[0].width * zoom, frames[0].height * zoom
    strip = Image.new("RGB", (width * len(frames), height + 2 * _BAR_PX + 6), "white")
    for i, frame in enumerate(frames):
        strip.paste(frame.resize((width, height), Image.Resampling.NEAREST), (i * width, 0))
    pencil = ImageDraw.Draw(strip)
    for row, (span, colour) in enumerate(((true, TRUE_COLOUR), (predicted, PREDICTED_COLOUR))):
        if span is None:
            continue
        left, right = (min(max(v / duration_s, 0.0), 1.0) * (strip.width - 1) for v in span)
        top = height + 3 + row * (_BAR_PX + 2)
        pencil.rectangle((left, top, max(right, left + 2), top + _BAR_PX), fill=colour)
    return _to_png(strip)


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


def _draw_box(pencil: ImageDraw.ImageDraw, box: Box, colour: tuple[int, int, int], *, outset: int) -> None:
    """The true box lies around the predicted one, so that both are seen where they agree."""
    x1, y1, x2, y2 = (round(v) for v in box)
    corners = (x1 - outset, y1 - outset, max(x1, x2 - 1) + outset, max(y1, y2 - 1) + outset)
    pencil.rectangle(corners, outline=colour, width=_LINE_PX)


def _draw_cross(pencil: ImageDraw.ImageDraw, point: Point) -> None:
    x, y = point
    for colour, width in (("white", 6), (PREDICTED_COLOUR, 3)):
        pencil.line((x - 9, y, x + 9, y), fill=colour, width=width)
        pencil.line((x, y - 9, x, y + 9), fill=colour, width=width)


def _to_png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()
