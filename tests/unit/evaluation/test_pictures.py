"""Which colour is at which pixel: true shapes green, predicted ones orange, in pixels of the enlarged picture."""

from __future__ import annotations

import io
import json

import pytest
from PIL import Image

from mimo_vl.evaluation.pictures import PREDICTED_COLOUR, TRUE_COLOUR, draw_filmstrip, draw_prediction
from tests.fakes.items import eval_item

SIDE, ZOOM = 84, 4
BACKGROUND, WHITE = (0, 0, 90), (255, 255, 255)
TRUE_BOX = [10, 10, 30, 30]


def _png(side: int = SIDE) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side), BACKGROUND).save(file, "PNG")
    return file.getvalue()


def _drawn(response: str, *, sent: tuple[int, int] | None = None, boxes: list[list[int]] | None = None) -> Image.Image:
    meta = {"boxes": json.dumps([TRUE_BOX] if boxes is None else boxes)}
    item = eval_item(json.dumps(TRUE_BOX), size=(SIDE, SIDE), sent_size=sent, **meta)
    return Image.open(io.BytesIO(draw_prediction(item, _png(), response)))


def _box_answer(box: list[int]) -> str:
    return f'```json\n[{{"bbox_2d": {box}, "label": "7"}}]\n```'


def _at(image: Image.Image, *points: tuple[int, int]) -> set[object]:
    return {image.getpixel(point) for point in points}


def test_the_true_box_is_green_and_the_predicted_one_orange() -> None:
    image = _drawn(_box_answer([20, 20, 40, 40]))
    assert image.size == (ZOOM * SIDE, ZOOM * SIDE)
    # True: 40 to 119, three pixels of line around it. Its right and lower edges lie in the predicted box.
    assert _at(image, (37, 80), (39, 80), (60, 37), (60, 39), (122, 60), (60, 122)) == {TRUE_COLOUR}
    # Predicted: 80 to 159, the line within.
    assert _at(image, (80, 140), (82, 140), (159, 140), (140, 80), (140, 159)) == {PREDICTED_COLOUR}
    assert _at(image, (36, 80), (40, 80), (60, 60), (123, 60), (83, 140), (160, 140), (140, 79)) == {BACKGROUND}


def test_where_both_agree_both_are_seen() -> None:
    image = _drawn(_box_answer(TRUE_BOX))
    assert _at(image, (38, 80), (121, 80)) == {TRUE_COLOUR}
    assert _at(image, (41, 80), (118, 80)) == {PREDICTED_COLOUR}


def test_a_prediction_is_in_pixels_of_the_picture_as_the_model_saw_it() -> None:
    """It saw it at twice the size: 40 to 80 are 20 to 40 of the stored one."""
    image = _drawn(_box_answer([40, 40, 80, 80]), sent=(2 * SIDE, 2 * SIDE))
    assert _at(image, (81, 140), (158, 140)) == {PREDICTED_COLOUR}
    assert _at(image, (38, 80)) == {TRUE_COLOUR}


def test_a_predicted_point_is_an_orange_cross_with_a_white_rim() -> None:
    image = _drawn('```json\n[{"point_2d": [50, 20], "label": "7"}]\n```')
    x, y = 50 * ZOOM, 20 * ZOOM
    assert _at(image, (x, y), (x + 8, y), (x - 8, y), (x, y + 8), (x, y - 8)) == {PREDICTED_COLOUR}
    assert _at(image, (x + 6, y - 2), (x - 2, y + 6)) == {WHITE}
    assert _at(image, (x + 12, y), (x, y - 12), (x + 6, y + 6)) == {BACKGROUND}


def test_an_answer_without_shapes_leaves_the_truth_and_a_picture_without_truth_as_it_is() -> None:
    colours = {colour for _, colour in _drawn("no idea").getcolors() or ()}
    assert colours == {BACKGROUND, TRUE_COLOUR}
    assert _drawn("no idea", boxes=[]).getcolors() == [((ZOOM * SIDE) ** 2, BACKGROUND)]


def test_a_large_picture_is_not_enlarged() -> None:
    item = eval_item("[]", size=(500, 500))
    assert Image.open(io.BytesIO(draw_prediction(item, _png(500), ""))).size == (500, 500)


# Below four frames of 84 pixels, one per second: 335 pixels from start to end, bars of true and of predicted span.
TRUE_ROW, PREDICTED_ROW = 90, 99


def _strip(true: tuple[float, float] | None, predicted: tuple[float, float] | None) -> Image.Image:
    frames = [Image.new("RGB", (SIDE, SIDE), (60 * k, 0, 0)) for k in range(4)]
    return Image.open(io.BytesIO(draw_filmstrip(frames, 4.0, true=true, predicted=predicted)))


def test_a_filmstrip_has_its_frames_in_order_and_a_bar_for_each_span() -> None:
    image = _strip((1.0, 2.0), (1.5, 3.0))
    assert [image.getpixel((SIDE * k + 42, 42)) for k in range(4)] == [(60 * k, 0, 0) for k in range(4)]
    # 335 / 4 = 83.75 to 167.5, and 125.6 to 251.25.
    assert _at(image, (86, TRUE_ROW), (165, TRUE_ROW)) == {TRUE_COLOUR}
    assert _at(image, (128, PREDICTED_ROW), (249, PREDICTED_ROW)) == {PREDICTED_COLOUR}
    outside = [(81, TRUE_ROW), (170, TRUE_ROW), (123, PREDICTED_ROW), (254, PREDICTED_ROW), (140, 95)]
    assert _at(image, *outside) == {WHITE}


@pytest.mark.parametrize(
    ("predicted", "marked", "empty"),
    [
        # Beyond both ends: cut off there.
        ((-3.0, 9.0), (0, 335), ()),
        # A moment is still seen.
        ((2.0, 2.0), (168, 169), (160, 175)),
        (None, (), (0, 100, 335)),
    ],
)
def test_spans_are_cut_to_the_video_and_an_unreadable_one_has_no_bar(
    predicted: tuple[float, float] | None, marked: tuple[int, ...], empty: tuple[int, ...]
) -> None:
    image = _strip((0.0, 1.0), predicted)
    assert _at(image, (40, TRUE_ROW)) == {TRUE_COLOUR}
    assert {image.getpixel((x, PREDICTED_ROW)) for x in marked} <= {PREDICTED_COLOUR}
    assert {image.getpixel((x, PREDICTED_ROW)) for x in empty} <= {WHITE}
