"""Each scorer: the right answer, the near miss, and every trap that is known to fool one."""

from __future__ import annotations

import json

import pytest

from mimo_vl.errors import InputError
from mimo_vl.evaluation.scorers import build_scorers, scorer_named
from mimo_vl.schema.evaluation import ItemStatus
from tests.fakes.items import eval_item
from tests.fakes.math_judge import CheapJudge


def _box_answer(*numbers: float) -> str:
    return f'```json\n[{{"bbox_2d": {json.dumps(list(numbers))}, "label": "7"}}]\n```'


def _point_answer(x: float, y: float) -> str:
    return f'```json\n[{{"point_2d": [{x}, {y}], "label": "7"}}]\n```'


def _score(scorer: str, reference: str, response: str, **item: object) -> float:
    return SCORERS[scorer](eval_item(reference, **item), response).metrics["score"]  # type: ignore[arg-type]


def _status(scorer: str, reference: str, response: str, **item: object) -> ItemStatus:
    return SCORERS[scorer](eval_item(reference, **item), response).status  # type: ignore[arg-type]


SCORERS = build_scorers(CheapJudge())
SQUARE = {"size": (100, 100)}


class TestBox:
    def test_exact_box_scores_one(self) -> None:
        assert _score("grounding_box", "[10, 10, 30, 30]", _box_answer(10, 10, 30, 30), **SQUARE) == 1.0

    def test_shifted_box_scores_one_plus_giou_over_two(self) -> None:
        # Overlap 10x20 = 200, union 600, enclosing 30x20 = 600: GIoU = 1/3 - 0 = 1/3.
        assert _score("grounding_box", "[0, 0, 20, 20]", _box_answer(10, 0, 30, 20), **SQUARE) == pytest.approx(2 / 3)

    def test_far_box_scores_below_a_half_but_above_none(self) -> None:
        # IoU 0, union 200, enclosing 100x10 = 1000: GIoU = -0.8.
        assert _score("grounding_box", "[0, 0, 10, 10]", _box_answer(90, 0, 100, 10), **SQUARE) == pytest.approx(0.1)

    def test_second_box_halves_the_score(self) -> None:
        two = '[{"bbox_2d": [10, 10, 30, 30]}, {"bbox_2d": [50, 50, 60, 60]}]'
        assert _score("grounding_box", "[10, 10, 30, 30]", two, **SQUARE) == 0.5

    def test_box_is_scaled_from_the_size_as_sent(self) -> None:
        item = {"size": (100, 50), "sent_size": (200, 100)}
        assert _score("grounding_box", "[10, 10, 30, 30]", _box_answer(20, 20, 60, 60), **item) == 1.0

    def test_unit_box_in_pixels_is_one_pixel_not_the_whole_picture(self) -> None:
        assert _score("grounding_box", "[0, 0, 100, 100]", _box_answer(0, 0, 1, 1), **SQUARE) < 0.51

    def test_box_inside_the_thinking_part_is_never_used(self) -> None:
        response = f"<think>{_box_answer(10, 10, 30, 30)}</think>I see it."
        assert _score("grounding_box", "[10, 10, 30, 30]", response, **SQUARE) == 0.0
        assert _status("grounding_box", "[10, 10, 30, 30]", response, **SQUARE) is ItemStatus.FORMAT_ERROR

    def test_thinking_that_never_ends_is_truncated(self) -> None:
        response = "<think>" + _box_answer(10, 10, 30, 30)
        assert _status("grounding_box", "[10, 10, 30, 30]", response, **SQUARE) is ItemStatus.TRUNCATED

    def test_numbers_in_prose_are_not_the_box(self) -> None:
        response = "Not [1, 2, 3, 4] but " + _box_answer(10, 10, 30, 30)
        assert _score("grounding_box", "[10, 10, 30, 30]", response, **SQUARE) == 1.0

    def test_zero_area_boxes_do_not_raise(self) -> None:
        score = SCORERS["grounding_box"](eval_item("[5, 5, 5, 5]", **SQUARE), _box_answer(5, 5, 5, 5))
        assert score.metrics["box_iou"] == 0.0

    def test_broken_reference_is_an_error_of_the_data_not_a_zero(self) -> None:
        with pytest.raises(ValueError, match="item-0: reference"):
            _score("grounding_box", "[1, 2]", _box_answer(1, 2, 3, 4), **SQUARE)


class TestPoint:
    @pytest.mark.parametrize(("x", "y", "wanted"), [(20, 20, 1.0), (10, 30, 1.0), (9, 20, 0.0)])
    def test_point_counts_inside_and_on_the_edge(self, x: float, y: float, wanted: float) -> None:
        assert _score("grounding_point", "[10, 10, 30, 30]", _point_answer(x, y), **SQUARE) == wanted

    def test_box_is_no_answer_to_a_question_for_a_point(self) -> None:
        status = _status("grounding_point", "[10, 10, 30, 30]", _box_answer(10, 10, 30, 30), **SQUARE)
        assert status is ItemStatus.FORMAT_ERROR


class TestCount:
    @pytest.mark.parametrize("answer", ["3", "3.0", "three", "三", "３", "3."])
    def test_every_spelling_of_three_is_three(self, answer: str) -> None:
        assert _score("count_exact", "3", rf"\boxed{{{answer}}}") == 1.0

    @pytest.mark.parametrize("answer", ["4", "30", "-3"])
    def test_another_number_is_wrong(self, answer: str) -> None:
        assert _score("count_exact", "3", rf"\boxed{{{answer}}}") == 0.0

    def test_number_without_a_box_is_a_format_error(self) -> None:
        assert _status("count_exact", "3", "3") is ItemStatus.FORMAT_ERROR

    def test_nothing_is_no_output(self) -> None:
        assert _status("count_exact", "3", "  ") is ItemStatus.NO_OUTPUT

    def test_of_two_boxes_the_last_counts(self) -> None:
        assert _score("count_exact", "3", r"\boxed{4} no, \boxed{3}") == 1.0


class TestMath:
    @pytest.mark.parametrize("answer", ["8", "8.0", r"\text{8}", "x = 8"])
    def test_equal_values_are_equal(self, answer: str) -> None:
        assert _score("math_answer", "8", rf"<think>3+5=8</think>\boxed{{{answer}}}") == 1.0

    @pytest.mark.parametrize(("reference", "answer"), [("15", "1.5"), ("2", "-2"), ("34", "(3, 4)"), ("8", "8 or 9")])
    def test_look_alikes_are_wrong(self, reference: str, answer: str) -> None:
        assert _score("math_answer", reference, rf"\boxed{{{answer}}}") == 0.0

    def test_nested_braces_are_read_whole(self) -> None:
        assert _score("math_answer", r"\frac{\sqrt{2}}{2}", r"\boxed{\frac{\sqrt{2}}{2}}") == 1.0

    def test_code_in_the_box_is_just_wrong(self) -> None:
        assert _score("math_answer", "8", r"\boxed{__import__('os')}") == 0.0


class TestTimespan:
    def test_half_overlap(self) -> None:
        # [2, 5] and [3, 6]: 2 of 4 seconds.
        assert _score("temporal_iou", "[2.0, 5.0]", r"\boxed{[00:03, 00:06]}") == 0.5

    def test_reversed_span_is_swapped(self) -> None:
        assert _score("temporal_iou", "[2.0, 5.0]", r"\boxed{[00:05, 00:02]}") == 1.0

    def test_no_timestamp_is_a_format_error_not_zero_to_zero(self) -> None:
        assert _status("temporal_iou", "[0.0, 0.0]", r"\boxed{never}") is ItemStatus.FORMAT_ERROR

    def test_zero_length_does_not_divide_by_zero(self) -> None:
        assert _score("temporal_iou", "[2.0, 2.0]", r"\boxed{[00:02, 00:02]}") == 0.0


class TestText:
    @pytest.mark.parametrize(
        ("response", "wanted"), [("4711", 1.0), ("4 7 1 1", 1.0), ("4721", 0.75), ("471", 0.75), ("47112", 0.8)]
    )
    def test_digits_are_counted_one_by_one(self, response: str, wanted: float) -> None:
        assert _score("per_digit", "4711", response) == pytest.approx(wanted)

    def test_no_digit_is_a_format_error(self) -> None:
        assert _status("per_digit", "4711", "I see nothing") is ItemStatus.FORMAT_ERROR

    def test_equality_ignores_case_spaces_and_a_final_period(self) -> None:
        assert _score("exact_text", "A red door.", "a  red DOOR") == 1.0
        assert _score("exact_text", "A red door.", "a red floor") == 0.0

    def test_chinese_is_compared_character_by_character(self) -> None:
        # Three of four characters common on both sides.
        assert _score("token_f1", "两个数字", "三个数字") == pytest.approx(0.75)

    def test_boxed_answer_is_read_from_its_box(self) -> None:
        assert _score("exact_text", "yes", r"I think \boxed{Yes}") == 1.0


class TestAction:
    CLICK = '{"action": "click", "start_point": [50, 50]}'

    def _answer(self, x: float, y: float) -> str:
        return json.dumps({"action": "click", "start_point": [x, y]})

    def test_click_inside_the_target_is_right_however_far_from_its_centre(self) -> None:
        item = {"size": (100, 100), "boxes": "[[20, 40, 80, 60]]"}
        assert _score("gui_step", self.CLICK, self._answer(25, 50), **item) == 1.0
        assert _score("gui_step", self.CLICK, self._answer(5, 50), **item) == 0.0

    def test_click_is_scaled_from_the_size_as_sent(self) -> None:
        item = {"size": (100, 100), "sent_size": (200, 200)}
        assert _score("gui_step", self.CLICK, self._answer(101, 99), **item) == 1.0

    def test_right_type_with_wrong_arguments_counts_for_the_type_alone(self) -> None:
        score = SCORERS["gui_step"](eval_item(self.CLICK, **SQUARE), self._answer(5, 5))
        assert score.metrics == {"score": 0.0, "action_type": 1.0}

    def test_missing_field_is_a_format_error_not_an_exception(self) -> None:
        assert _status("gui_step", self.CLICK, '{"action": "click"}', **SQUARE) is ItemStatus.FORMAT_ERROR

    def test_empty_text_does_not_match_every_text(self) -> None:
        true = '{"action": "input", "text": "hello"}'
        assert _score("gui_step", true, '{"action": "input", "text": ""}', **SQUARE) == 0.0


REFERENCES = {
    "grounding_box": "[1, 1, 5, 5]",
    "grounding_point": "[1, 1, 5, 5]",
    "gui_step": '{"action": "wait"}',
    "temporal_iou": "[1.0, 2.0]",
}
HOSTILE = ["", "<think>", "</think>", r"\boxed{", "[" * 2000, '{"action":' * 200, "\x00�", r"\boxed{" * 300 + "9"]


@pytest.mark.parametrize("name", sorted(SCORERS))
def test_hostile_text_scores_zero_and_never_raises(name: str) -> None:
    item = eval_item(REFERENCES.get(name, "3"), **SQUARE)
    for response in HOSTILE:
        first, second = SCORERS[name](item, response), SCORERS[name](item, response)
        assert first.metrics["score"] == 0.0, response[:20]
        assert first == second


def test_unknown_scorer_names_the_nearest() -> None:
    with pytest.raises(InputError, match="count_exact"):
        scorer_named(SCORERS, "count_exactly")
