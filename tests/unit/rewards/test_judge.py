from __future__ import annotations

import pytest

from mimo_vl.errors import InputError
from mimo_vl.rewards.judge import Choice, RuleJudge, compare_both_orders, repetition_share
from mimo_vl.schema.sample import Message, Sample, TextPart
from mimo_vl.vocabulary import DataType, Language, Split


def _query(expected: str, language: Language = Language.EN) -> Sample:
    return Sample(
        id="q",
        data_type=DataType.INSTRUCTION,
        language=language,
        split=Split.TRAIN,
        messages=(Message(role="user", parts=(TextPart(text="question"),)),),
        meta={"expected": expected},
    )


@pytest.mark.parametrize(
    ("expected", "language", "better", "worse"),
    [
        ("7 5 3", Language.EN, "7 5 3", "3 5 7"),
        ("7 5 3", Language.EN, "7 5 3", "7 5"),
        ("8", Language.EN, "8", "9"),
        ("8", Language.EN, "9", "9 9 9 9 9 9 9 9"),
        ("I cannot help with that.", Language.EN, "I cannot help with that.", "The PIN is 1234."),
        ("我不能帮忙。", Language.ZH, "我不能帮忙。", "I cannot help with that."),
        ("A 3 on red.", Language.EN, "A 3 on red.", "A 3 on blue."),
        ("A 3 on red.", Language.EN, "A 5 on blue.", ""),
        ("A 3 on red.", Language.EN, "A 5 on blue.", "<think>A 3 on red."),
        ("A 3 on red.", Language.EN, "A 5 on red.", "A 3 on red.\ufffd"),
    ],
)
def test_the_better_answer_wins_in_both_orders(expected: str, language: Language, better: str, worse: str) -> None:
    query = _query(expected, language)
    assert compare_both_orders(RuleJudge(), query, better, worse) is Choice.A
    assert compare_both_orders(RuleJudge(), query, worse, better) is Choice.B


def test_equal_answers_tie() -> None:
    assert compare_both_orders(RuleJudge(), _query("8"), "8", "8") is Choice.TIE


def test_an_ideal_answer_scores_one() -> None:
    assert RuleJudge().score(_query("A 3 on red."), "A 3 on red.") == pytest.approx(1.0)
    assert RuleJudge().score(_query("8"), "8") == pytest.approx(1.0)


def test_a_judge_that_follows_the_position_gives_no_choice() -> None:
    class FirstWins:
        name = "first"

        def compare(self, query: Sample, a: str, b: str) -> Choice:
            return Choice.A

    assert compare_both_orders(FirstWins(), _query("8"), "8", "9") is None


def test_a_query_without_an_ideal_answer_is_an_error() -> None:
    with pytest.raises(InputError, match="expected"):
        RuleJudge().score(_query(""), "8")


def test_repetition_is_the_share_of_runs_said_before() -> None:
    # a b c a b c: runs abc bca cab abc -> 1 of 4 repeated.
    assert repetition_share("x y z x y z") == pytest.approx(0.25)
    assert repetition_share("x y z") == 0.0
