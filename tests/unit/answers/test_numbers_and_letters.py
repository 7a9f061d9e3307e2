from __future__ import annotations

from decimal import Decimal

import pytest

from mimo_vl.answers.extraction import AnswerStatus
from mimo_vl.answers.letters import extract_letter, match_option
from mimo_vl.answers.numbers import Number, extract_count, extract_number, parse_number

OPTIONS = {"A": "cat", "B": "dog", "C": "circle", "D": ""}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", "3"), ("3.", "3"), ("-2", "-2"), ("+2", "2"), ("1.5", "1.5"), (".5", "0.5"), ("1,234,567", "1234567"),
        ("1{,}234", "1234"), ("３", "3"), ("－３．５", "-3.5"), ("three", "3"), ("Twenty-one", "21"),
        ("ninety nine", "99"),
        ("one hundred", "100"), ("zero", "0"), ("三", "3"), ("十", "10"), ("十二", "12"), ("二十", "20"),
        ("两百零三", "203"),
        ("三万二千", "32000"), ("一亿", "100000000"), ("二〇二六", "2026"), ("3个", "3"), ("1l", "11"), ("I", "1"),
    ],
)  # fmt: skip
def test_one_number_is_read_in_any_spelling(text: str, value: str) -> None:
    assert parse_number(text) == Number(Decimal(value))


@pytest.mark.parametrize(
    "text",
    ["", "3 or 4", "1,23", "1.2.3", "x=3", "three or four", "twenty-ten", "3 million", "--3", "9" * 65, "三x", "1e5"],
)
def test_anything_but_one_number_is_none(text: str) -> None:
    assert parse_number(text) is None


def test_percent_is_kept_as_a_flag_and_is_no_count() -> None:
    assert parse_number(r"30\%") == Number(Decimal(30), is_percent=True)
    assert extract_count(r"\boxed{30\%}").status is AnswerStatus.FORMAT_ERROR


def test_a_count_is_whole() -> None:
    assert extract_count(r"\boxed{3.0}").value == 3
    assert extract_count(r"\boxed{3.5}").status is AnswerStatus.FORMAT_ERROR


def test_a_number_needs_its_box_unless_lenient() -> None:
    assert extract_number("5").status is AnswerStatus.FORMAT_ERROR
    assert extract_number("5", is_lenient=True).value == Number(Decimal(5))


@pytest.mark.parametrize(
    ("content", "letter"),
    [
        ("A", "A"), ("(B)", "B"), ("b", "B"), ("A.", "A"), ("A)", "A"), ("A: cat", "A"), ("A. cat", "A"),
        ("(A) cat", "A"),
        ("dog", "B"), (" Dog. ", "B"), ("Ａ", "A"), ("D", "D"),
    ],
)  # fmt: skip
def test_an_option_is_named_by_letter_or_text(content: str, letter: str) -> None:
    assert match_option(content, OPTIONS) == letter


@pytest.mark.parametrize("content", ["E", "Circle of dogs", "red", "A or B", "A. dog", "AB", "", "Apple"])
def test_no_option_is_guessed(content: str) -> None:
    assert match_option(content, OPTIONS) is None


def test_circle_is_the_option_with_that_text_not_the_letter_c_of_another() -> None:
    assert match_option("Circle", OPTIONS) == "C"
    assert match_option("Circle", {"C": "square", "D": "circle"}) == "D"


def test_equal_option_texts_decide_nothing() -> None:
    assert match_option("cat", {"A": "cat", "B": "cat"}) is None


def test_a_lower_case_l_is_a_capital_i_where_only_that_exists() -> None:
    assert match_option("l", {"H": "x", "I": "y"}) == "I"
    assert match_option("l", {"I": "x", "L": "y"}) == "L"


@pytest.mark.parametrize(
    ("response", "letter"), [("The answer is B", "B"), ("Answer: B", "B"), ("答案是B", "B"), ("answer: (A)", "A")]
)
def test_lenient_reads_a_stated_letter(response: str, letter: str) -> None:
    assert extract_letter(response, OPTIONS, is_lenient=True).value == letter


def test_strict_wants_a_box_and_lenient_never_takes_a_letter_out_of_a_word() -> None:
    assert extract_letter("The answer is B", OPTIONS).status is AnswerStatus.FORMAT_ERROR
    assert extract_letter("The answer is red", OPTIONS, is_lenient=True).status is AnswerStatus.FORMAT_ERROR
    assert extract_letter("the answer is BANANA", OPTIONS, is_lenient=True).status is AnswerStatus.FORMAT_ERROR
