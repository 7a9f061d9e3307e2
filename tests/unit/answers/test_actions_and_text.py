from __future__ import annotations

import json

import pytest

from mimo_vl.answers.actions import (
    OPPOSITE,
    Action,
    ActionName,
    Direction,
    extract_action,
    parse_action,
    steps_match,
)
from mimo_vl.answers.extraction import AnswerStatus
from mimo_vl.answers.geometry import Box, Point
from mimo_vl.answers.text import anls, edit_distance, per_position_accuracy, relaxed_match, token_f1

SIZE = (100, 200)


def _action(**fields: object) -> Action:
    value = parse_action(fields, width=SIZE[0], height=SIZE[1]).value
    assert value is not None
    return value


VALID = [
    {"action": "click", "start_point": [1, 2]},
    {"action": "click", "start_point": [1, 2], "text": "ok"},
    {"action": "scroll", "direction": "up", "scroll_distance": 20},
    {"action": "input", "text": "hi"},
    {"action": "drag", "start_point": [1, 2], "end_point": [100, 200]},
    {"action": "open", "app": "Maps"},
    {"action": "press", "keys": ["ctrl", "c"]},
    {"action": "finished", "status": "success"},
    {"action": "longpress", "start_point": [0, 0]},
    {"action": "hover"},
    {"action": "select", "text": "word"},
    {"action": "wait"},
    {"action": "appswitch", "app_name": "Maps"},
]


@pytest.mark.parametrize("fields", VALID, ids=lambda f: f["action"])
def test_all_twelve_actions_parse(fields: dict[str, object]) -> None:
    action = _action(**fields)
    assert action.name == fields["action"]
    assert {str(f["action"]) for f in VALID} == set(ActionName)


@pytest.mark.parametrize(
    "fields",
    [
        {"action": "tap", "start_point": [1, 2]}, {"action": "click"}, {"action": "input"}, {"action": "press"},
        {"action": "click", "start_point": [1, 2, 3]}, {"action": "click", "start_point": [101, 2]},
        {"action": "click", "start_point": [-1, 2]}, {"action": "click", "start_point": [float("nan"), 2]},
        {"action": "click", "start_point": [True, 2]}, {"action": "click", "start_point": [1, 2], "app": "x"},
        {"action": "press", "keys": []}, {"action": "press", "keys": "home"},
        {"action": "scroll", "direction": "north"},
        {"action": "open", "app": None}, {"action": ["click"]}, {"start_point": [1, 2]}, ["click"], "click", None,
    ],
)  # fmt: skip
def test_an_invalid_action_is_an_error_with_a_reason_never_repaired(fields: object) -> None:
    extraction = parse_action(fields, width=SIZE[0], height=SIZE[1])
    assert extraction.status is AnswerStatus.FORMAT_ERROR
    assert extraction.reason


@pytest.mark.parametrize(
    "response",
    [
        '```json\n{"action": "wait"}\n```', 'I will {"action":"wait"}',
        '```json\n[{"action":"wait"},{"action":"hover"}]\n```',
        '<think>{"action":"hover"}</think>{"action":"wait"}',
    ],
)  # fmt: skip
def test_the_first_action_of_the_answer_counts(response: str) -> None:
    assert extract_action(response, width=1, height=1).value == Action(name=ActionName.WAIT)


@pytest.mark.parametrize("response", ["nothing", '{"action": "wait"', "```json\n[]\n```", '<think>{"action":"wait"}'])
def test_no_action_is_an_error(response: str) -> None:
    assert not extract_action(response, width=1, height=1).is_ok


def test_a_click_matches_in_an_enlarged_box_or_near_the_point() -> None:
    true = _action(action="click", start_point=[50, 100])
    boxes = [Box(40, 90, 60, 110)]
    # The box grows from half width 10 to 12.
    assert steps_match(_action(action="click", start_point=[62, 100]), true, size=SIZE, boxes=boxes)
    assert not steps_match(_action(action="click", start_point=[63, 100]), true, size=SIZE, boxes=boxes)
    # Without boxes: 4 of 100 pixels is a distance of 0.04.
    assert steps_match(_action(action="click", start_point=[54, 100]), true, size=SIZE)
    assert not steps_match(_action(action="click", start_point=[55, 100]), true, size=SIZE)
    assert not steps_match(_action(action="longpress", start_point=[50, 100]), true, size=SIZE)


def test_an_empty_input_does_not_match_every_text() -> None:
    true = _action(action="input", text="hello world")
    assert steps_match(_action(action="input", text="Hello"), true, size=SIZE)
    assert not steps_match(_action(action="input", text=""), true, size=SIZE)


def test_other_steps_match_by_their_own_field() -> None:
    assert steps_match(_action(action="scroll", direction="up"), _action(action="scroll", direction="up"), size=SIZE)
    assert not steps_match(
        _action(action="scroll", direction="down"), _action(action="scroll", direction="up"), size=SIZE
    )
    assert not steps_match(_action(action="press", keys=["a"]), _action(action="press", keys=["a", "b"]), size=SIZE)
    assert steps_match(_action(action="open", app="maps"), _action(action="open", app_name="Maps"), size=SIZE)
    assert steps_match(_action(action="finished", status="x"), _action(action="finished", status="y"), size=SIZE)


def test_all_four_scroll_directions_survive_a_round_trip() -> None:
    assert [OPPOSITE[OPPOSITE[d]] for d in Direction] == list(Direction)
    assert all(OPPOSITE[d] is not d for d in Direction)


def test_points_are_kept_as_floats() -> None:
    assert json.loads("[1.5, 2]") == list(_action(action="click", start_point=[1.5, 2]).start_point or Point(0, 0))


def test_token_f1_by_hand() -> None:
    # Common: black, cat. 2 * 2 / (2 + 3).
    assert token_f1("The black cat!", ["a black cat sits"]) == pytest.approx(0.8)
    assert token_f1("红色的数字", ["红色"]) == pytest.approx(4 / 7)
    assert token_f1("", ["x"]) == 0.0
    assert token_f1("", [""]) == 1.0
    assert token_f1("x", []) == 0.0


def test_anls_keeps_exactly_one_half_and_drops_less() -> None:
    assert anls("ab", ["ad"]) == 0.5
    assert anls("abc", ["axy"]) == 0.0
    assert anls(" Hello  World ", ["hello world"]) == 1.0
    assert anls("", [""]) == 1.0


def test_edit_distance_by_hand() -> None:
    assert edit_distance("kitten", "sitting") == 3
    assert edit_distance("", "abc") == 3


def test_per_position_accuracy_counts_insertions_too() -> None:
    assert per_position_accuracy("12", "123") == pytest.approx(2 / 3)
    assert per_position_accuracy("1123", "123") == pytest.approx(3 / 4)


@pytest.mark.parametrize(
    ("predicted", "true", "matches"),
    [
        ("0.12", "12%", True), ("12%", "0.12", True), ("0.5", "50", False), ("0", "0", True), ("0.001", "0", False),
        ("105", "100", True), ("106", "100", False), ("Red", "red", True), ("12%", "n/a", False),
    ],
)  # fmt: skip
def test_relaxed_accuracy_follows_the_chart_protocol(predicted: str, true: str, matches: bool) -> None:
    assert relaxed_match(predicted, true) is matches
