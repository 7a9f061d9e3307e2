from __future__ import annotations

import pytest

from mimo_vl.answers.mathematics import MathVerdict, is_dangerous, judge_cheaply, judge_symbolically

# sympy and the grammar load once, about a second on a free machine.
pytestmark = pytest.mark.timeout(120)

EQUAL = [
    ("8", "8"), ("8", "８"), ("8", "8.0"), ("x=3", "3"), ("3", "x = 3"), ("1,234", "1234"), ("1e-7", "0.0000001"),
    (r"1.5\times10^3", "1500"), ("1/3", r"\frac{2}{6}"), (r"\dfrac12", "0.5"), (r"2\frac{1}{2}", "5/2"),
    (r"10\%", "0.1"),
    ("0.12", "12%"), (r"5\text{ m}", r"500\text{ cm}"), ("5", r"5\text{ cm}"), ("30°", r"30^{\circ}"),
    (r"30^\circ", "30"),
    (r"\{1,2\}", r"\{2,1\}"), ("(1, 2)", "(1,2)"), ("(0.5, 2)", r"(\frac{1}{2}, 2)"), ("yes", "Yes"), ("A", "(A)"),
    (r"\sqrt2", "sqrt(2)"), ("2 or 3", "3 or 2"), (r"\text{cat}", "cat"), ("3", "3."),
]  # fmt: skip
EQUAL_BY_ALGEBRA = [
    (r"\frac{\pi}{2}", "pi/2"), (r"2\pi", "2*pi"), (r"\sqrt{\frac1n}", r"\frac{1}{\sqrt n}"), ("x^2-1", "(x-1)(x+1)"),
    (r"\frac{\sqrt{2}}{2}", r"\frac{1}{\sqrt2}"), ("2x", "x+x"), ("y=2x+1", "y=1+2x"), ("x^2", "x²"), ("3^2", "9"),
    (r"(\frac{\pi}{2}, 1)", "(pi/2, 1)"),
]  # fmt: skip
DIFFERENT = [
    ("4", r"4\sqrt(2)"), ("1/2004!", "1/2006!"), ("0.0000001", "0.0000002"), ("(1,2)", r"\{1,2\}"), ("(3,4)", "3,4"),
    ("1,2", "2,1"), ("(1,2)", "(2,1)"), ("10", r"10\%"), (r"5\text{ m}", r"5\text{ cm}"), ("3", "the answer is 3 or 4"),
    ("3", "3 or 4"), (r"\frac13", "0.333"), ("19,46,82", "21,36,82"), ("2021", r"\pm 2021"), ("12:00", "1:00"),
    ("y=2x+1", "y=3x+1"), ("1.5", "15"), ("(3, 4)", "34"), ("-2", "2"), ("5", "500"), ("5", "0.05"), ("A", "BANANA"),
    ("50", "0.5"), ("35", "3 5"), ("[0,1]", "[0,1)"), ("x+y=5", "5"), ("8", "3+5=8"), ("(1,2,3)", "(1,2)"),
    ("|x|", "x"),
    (r"\sqrt{x^2}", "x"), ("1", "__import__('os')"), ("0", "1e-9"), ("A", "a cat"), ("5 kg", "5 m"),
]  # fmt: skip


@pytest.mark.parametrize(("gold", "answer"), EQUAL)
def test_equal_answers_need_no_algebra(gold: str, answer: str) -> None:
    assert judge_cheaply(gold, answer) is MathVerdict.CORRECT


@pytest.mark.parametrize(("gold", "answer"), EQUAL_BY_ALGEBRA)
def test_equal_expressions_are_found_by_algebra(gold: str, answer: str) -> None:
    assert judge_cheaply(gold, answer) is None
    assert judge_symbolically(gold, answer) is MathVerdict.CORRECT


@pytest.mark.parametrize(("gold", "answer"), DIFFERENT)
def test_different_answers_never_pass(gold: str, answer: str) -> None:
    verdict = judge_cheaply(gold, answer)
    if verdict is None:
        verdict = judge_symbolically(gold, answer)
    assert verdict in (MathVerdict.WRONG, MathVerdict.UNPARSABLE_ANSWER)


@pytest.mark.parametrize(
    "text", ["9^{9^{9}}", "9^9^9", "2^{100000}", "10^{(2^{90})}", "100000!", "5!!", "(5!)!", "7" * 65, "x^{x^{x}}"]
)
def test_what_could_hang_is_refused_before_any_algebra(text: str) -> None:
    assert is_dangerous(text)
    assert judge_cheaply("8", text) is MathVerdict.UNPARSABLE_ANSWER


def test_a_dangerous_gold_is_the_references_fault() -> None:
    assert judge_cheaply("9^{9^{9}}", "8") is MathVerdict.UNPARSABLE_GOLD
    assert judge_cheaply("9^{9^{9}}", "9^{9^{9}}") is MathVerdict.CORRECT


@pytest.mark.parametrize("text", ["x^2", "2^{10}", "10!", r"e^{x}", "x_1^2"])
def test_ordinary_powers_are_not_refused(text: str) -> None:
    assert not is_dangerous(text)


@pytest.mark.parametrize(("gold", "answer", "verdict"), [
    ("", "8", MathVerdict.UNPARSABLE_GOLD),
    ("8", " ", MathVerdict.UNPARSABLE_ANSWER),
    ("8", "8" + " " * 500, MathVerdict.UNPARSABLE_ANSWER),
])  # fmt: skip
def test_empty_and_endless_answers_are_unparsable(gold: str, answer: str, verdict: MathVerdict) -> None:
    assert judge_cheaply(gold, answer) is verdict
