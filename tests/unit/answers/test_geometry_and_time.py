from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimo_vl.answers.extraction import AnswerStatus
from mimo_vl.answers.geometry import Box, Point, giou, iou, matched_mean, ordered
from mimo_vl.answers.temporal import TimeSpan, temporal_iou
from mimo_vl.answers.timespans import extract_timespan, parse_timespan

_coordinate = st.floats(min_value=-100, max_value=100)


def _box(a: float, b: float, c: float, d: float) -> Box:
    return ordered(a, b, c, d)[0]


boxes = st.builds(_box, _coordinate, _coordinate, _coordinate, _coordinate)


def test_iou_and_giou_by_hand() -> None:
    a, b = Box(0, 0, 10, 10), Box(5, 5, 15, 15)
    # Intersection 25, union 175, enclosing box 225.
    assert iou(a, b) == pytest.approx(25 / 175)
    assert giou(a, b) == pytest.approx(25 / 175 - 50 / 225)


def test_far_boxes_have_a_giou_near_minus_one() -> None:
    # Union 2, enclosing 1001 x 1: 0 - (1001 - 2) / 1001.
    assert giou(Box(0, 0, 1, 1), Box(1000, 0, 1001, 1)) == pytest.approx(-999 / 1001)


def test_two_boxes_without_area_give_zero_not_an_exception() -> None:
    point = Box(5, 5, 5, 5)
    assert (iou(point, point), giou(point, point)) == (0.0, 0.0)


def test_a_one_pixel_box_is_one_pixel_not_the_whole_image() -> None:
    assert iou(Box(0, 0, 1, 1), Box(0, 0, 100, 100)) == pytest.approx(1e-4)


@given(boxes, boxes)
def test_giou_is_symmetric_and_never_above_iou(a: Box, b: Box) -> None:
    assert giou(a, b) == pytest.approx(giou(b, a))
    assert -1.0 <= giou(a, b) <= iou(a, b) + 1e-12 <= 1.0 + 2e-12


def test_the_edge_belongs_to_the_box() -> None:
    box = Box(0, 0, 10, 10)
    assert box.contains(Point(10, 0))
    assert not box.contains(Point(10.0001, 0))


def test_enlarging_keeps_the_centre() -> None:
    assert Box(0, 0, 10, 20).enlarged(1.2) == pytest.approx((-1, -2, 11, 22))


def test_matching_is_optimal_not_greedy() -> None:
    # Greedy takes 0.9 first and is left with 0.0; the best sum is 0.8 + 0.8.
    table = {("p", "s"): 0.9, ("p", "t"): 0.8, ("q", "s"): 0.8, ("q", "t"): 0.0}
    assert matched_mean(["p", "q"], ["s", "t"], lambda a, b: table[a, b]) == pytest.approx(0.8)


def test_missing_and_extra_answers_cost_and_none_gives_zero() -> None:
    same = lambda a, b: float(a == b)  # noqa: E731
    assert matched_mean(["x"], ["x", "y"], same) == 0.5
    assert matched_mean(["x", "y", "z", "w"], ["x", "y"], same) == 0.5
    assert matched_mean([], ["x"], same) == 0.0
    assert matched_mean([], [], same) == 0.0


@pytest.mark.parametrize(
    ("a", "b", "value"),
    [
        ((0, 10), (5, 15), 1 / 3),
        ((0, 10), (10, 20), 0.0),
        ((0, 1), (5, 6), 0.0),
        ((2, 2), (2, 2), 0.0),
        ((1, 3), (1, 3), 1.0),
    ],
)
def test_temporal_iou_by_hand(a: tuple[float, float], b: tuple[float, float], value: float) -> None:
    assert temporal_iou(TimeSpan(*a), TimeSpan(*b)) == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("[00:02, 00:05]", (2, 5)), ("[100:05, 101:10]", (6005, 6070)), ("[1:02:03, 1:02:09]", (3723, 3729)),
        ("[00:03.5, 00:07]", (3.5, 7)), ("00:02 - 00:05", (2, 5)), ("00:02–00:05", (2, 5)), ("00:02 to 00:05", (2, 5)),
        ("00:02 至 00:05", (2, 5)), ("从00:02到00:05", (2, 5)), ("12.3s, 15s", (12.3, 15)), ("2秒到5秒", (2, 5)),
        ("［００：０２，００：０５］", (2, 5)), ("first [00:00, 00:01], finally [00:02, 00:05]", (2, 5)),
        ("[75:00, 80:00]", (4500, 4800)),
    ],
)  # fmt: skip
def test_time_spans_are_read_in_any_spelling(text: str, span: tuple[float, float]) -> None:
    assert parse_timespan(text).value == pytest.approx(span)


def test_a_reversed_span_is_swapped_and_flagged() -> None:
    extraction = parse_timespan("[0:20, 0:10]")
    assert (extraction.value, extraction.flags) == (TimeSpan(10, 20), ("swapped",))


@pytest.mark.parametrize(
    "text", ["no timestamp", "", "[00:02]", "[00:02, 00:75]", "[1:60:00, 1:61:00]", "[2, 5]", "00:02 00:05"]
)
def test_what_is_no_span_is_a_format_error_not_zero_to_zero(text: str) -> None:
    extraction = parse_timespan(text)
    assert (extraction.status, extraction.value) == (AnswerStatus.FORMAT_ERROR, None)


def test_the_box_wins_over_the_text_and_thinking_is_ignored() -> None:
    assert extract_timespan(r"<think>[00:09, 00:10]</think>\boxed{[00:02, 00:05]} not [00:07, 00:08]").value == (2, 5)
    assert extract_timespan(r"[00:02, 00:05] \boxed{none}").status is AnswerStatus.FORMAT_ERROR
    assert extract_timespan("<think>[00:02, 00:05]").status is AnswerStatus.TRUNCATED
