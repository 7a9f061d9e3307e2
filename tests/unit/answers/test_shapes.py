from __future__ import annotations

import pytest

from mimo_vl.answers.extraction import AnswerStatus
from mimo_vl.answers.geometry import Box, Point
from mimo_vl.answers.shapes import extract_boxes, extract_points, extract_shapes


@pytest.mark.parametrize(
    ("response", "boxes"),
    [
        ('```json\n[{"bbox_2d": [1, 2, 3, 4], "label": "7"}]\n```', [Box(1, 2, 3, 4)]),
        ('{"bbox_2d": [1, 2, 3, 4]}', [Box(1, 2, 3, 4)]),
        ("[1, 2.5, 3, 4]", [Box(1, 2.5, 3, 4)]),
        ('I think [9, 9, 9, 9] is near. ```json\n[{"bbox_2d": [1, 2, 3, 4]}]\n```', [Box(1, 2, 3, 4)]),
        ('[9, 9, 9, 9] then [{"bbox_2d": [1, 2, 3, 4]}]', [Box(1, 2, 3, 4)]),
        ('```json\n[9,9,9,9]\n``` no: ```json\n[1,2,3,4]\n```', [Box(1, 2, 3, 4)]),
        ('<think>[9, 9, 9, 9]</think>[1, 2, 3, 4]', [Box(1, 2, 3, 4)]),
        (r"\boxed{[1, 2, 3, 4]}", [Box(1, 2, 3, 4)]),
        ('[{"bbox_2d": [1,2,3,4]}, {"bbox_2d": [5,6,7,8]}]', [Box(1, 2, 3, 4), Box(5, 6, 7, 8)]),
        ("[]", []),
    ],
)  # fmt: skip
def test_the_last_json_block_gives_the_boxes(response: str, boxes: list[Box]) -> None:
    assert extract_boxes(response).value == tuple(boxes)


@pytest.mark.parametrize(
    "response",
    [
        "no json", "[1, 2, 3]", '[{"box": [1,2,3,4]}]', '{"bbox_2d": [1,2,3]}', '{"bbox_2d": "1,2,3,4"}',
        '{"bbox_2d": [1,2,3,NaN]}', '{"bbox_2d": [1,2,3,Infinity]}', "[1,2,3,1e999]", "[1,2,3,true]", '["a"]',
        "[1, 2, 3, " + "9" * 400 + "]", '{"point_2d": [1,2,3,4]}', "```json\n[{\"bbox_2d\": [1, 2\n```",
        '[{"bbox_2d": [1, 2, 3, 4], "lab', "[" * 50_000, "[ " * 10_000, '{"a":' * 5_000,
    ],
)  # fmt: skip
def test_what_is_no_box_is_a_format_error_not_a_zero_box(response: str) -> None:
    extraction = extract_boxes(response)
    assert (extraction.status, extraction.value) == (AnswerStatus.FORMAT_ERROR, None)
    assert extraction.reason


def test_truncated_json_keeps_its_complete_objects_and_says_so() -> None:
    extraction = extract_boxes('```json\n[{"bbox_2d": [1, 2, 3, 4]}, {"bbox_2d": [5, 6, 7')
    assert extraction.value == (Box(1, 2, 3, 4),)
    assert extraction.flags == ("truncated_json",)


def test_reversed_corners_are_sorted_and_flagged() -> None:
    extraction = extract_boxes("[30, 40, 10, 20]")
    assert (extraction.value, extraction.flags) == ((Box(10, 20, 30, 40),), ("swapped",))


def test_an_unclosed_thinking_part_is_never_searched() -> None:
    assert extract_boxes("<think>[1, 2, 3, 4]").status is AnswerStatus.TRUNCATED


def test_points_and_boxes_are_not_mixed_up() -> None:
    assert extract_points('[{"point_2d": [5, 6]}]').value == (Point(5, 6),)
    assert extract_points("[5, 6]").value == (Point(5, 6),)
    assert extract_points("[1, 2, 3, 4]").status is AnswerStatus.FORMAT_ERROR
    assert extract_boxes('{"point_2d": [5, 6]}').status is AnswerStatus.FORMAT_ERROR


def test_labels_are_kept() -> None:
    shapes = extract_shapes('[{"bbox_2d": [1,2,3,4], "label": "七"}]').value
    assert shapes is not None
    assert shapes[0].label == "七"
