from __future__ import annotations

import pytest

from mimo_vl.answers.extraction import AnswerStatus, answer_part, extract_boxed, extract_final


@pytest.mark.parametrize(
    ("response", "content"),
    [
        (r"\boxed{\frac{\sqrt{2}}{2}}", r"\frac{\sqrt{2}}{2}"),
        (r"\boxed{1} and then \boxed{2}", "2"),
        (r"<think>\boxed{1}</think>\boxed{2}", "2"),
        (r"<think>a</think>b</think>\boxed{3}", "3"),
        (r"\boxed{\text{A}}", "A"),
        (r"\boxed{$x+1$}", "x+1"),
        (r"\boxed{$\mathrm{km}$}", "km"),
        (r"\boxed{ 3. }", "3"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{\left\{ x \right.}", r"\left\{ x \right"),
        (r"\boxed {7}", "7"),
        (r"\boxed{\boxed{7}}", "7"),
        (r"\boxed{3 \boxed{4}", "4"),
        (r"\boxed{12.5}", "12.5"),
    ],
)
def test_the_last_box_is_found_by_counting_braces(response: str, content: str) -> None:
    assert extract_boxed(response).value == content


@pytest.mark.parametrize(
    ("response", "status"),
    [
        ("", AnswerStatus.NO_OUTPUT),
        ("  \n", AnswerStatus.NO_OUTPUT),
        ("<think>3</think>  ", AnswerStatus.NO_OUTPUT),
        (r"<think>\boxed{3}", AnswerStatus.TRUNCATED),
        (r"<think>a</think>\boxed{3}<think>", AnswerStatus.TRUNCATED),
        (r"\boxed{1} \boxed{2", AnswerStatus.FORMAT_ERROR),
        (r"\boxed{}", AnswerStatus.FORMAT_ERROR),
        ("3", AnswerStatus.FORMAT_ERROR),
        (r"<think>\boxed{3}</think>3", AnswerStatus.FORMAT_ERROR),
    ],
)
def test_what_is_no_answer_says_why(response: str, status: AnswerStatus) -> None:
    extraction = extract_boxed(response)
    assert extraction.status is status
    assert extraction.value is None
    assert extraction.reason


def test_an_answer_without_thinking_is_the_whole_text() -> None:
    assert answer_part(" all of it ").value == "all of it"


def test_lenient_takes_the_whole_answer_when_there_is_no_box() -> None:
    extraction = extract_boxed("<think>x</think>cat.", is_lenient=True)
    assert (extraction.value, extraction.flags) == ("cat", ("no_box",))


@pytest.mark.parametrize(
    ("response", "content"),
    [
        ("The answer is 8.", "8"),
        ("Answer: 12.5", "12.5"),
        ("答案是8。", "8"),
        ("答案：8", "8"),
        ("The answer is 7. No, the answer is:\nwrong\nFinal answer: 9", "9"),
        (r"Answer: 3. So \boxed{4}", "4"),
    ],
)
def test_a_stated_answer_counts_only_without_a_box(response: str, content: str) -> None:
    assert extract_final(response).value == content


def test_an_unbalanced_box_is_not_replaced_by_a_stated_answer() -> None:
    assert extract_final(r"Answer: 3. So \boxed{3").status is AnswerStatus.FORMAT_ERROR


def test_hostile_text_is_read_in_linear_time() -> None:
    # 30,000 openings without an end: quadratic scanning would take minutes.
    assert extract_boxed(r"\boxed{" * 30_000).status is AnswerStatus.FORMAT_ERROR
