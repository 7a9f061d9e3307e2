"""Which of two answers to a query is better: the judge protocol, asked in both orders, and a judge made of rules.

The report has an advanced model rank answers (3.2). Any such model fits `Judge`. `RuleJudge` needs no model: it reads
the ideal answer that a query carries in meta["expected"] and looks at facts, language, repetition and form.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from mimo_vl.answers.text import per_position_accuracy, token_f1, tokens
from mimo_vl.errors import InputError
from mimo_vl.schema.sample import Sample
from mimo_vl.vocabulary import Language


class Choice(StrEnum):
    A = "a"
    B = "b"
    TIE = "tie"


class Judge(Protocol):
    @property
    def name(self) -> str:
        """Recorded with each pair; another prompt or rule is another name."""
        ...

    def compare(self, query: Sample, a: str, b: str) -> Choice:
        """The better answer as shown: `a` first. May depend on the order."""
        ...


_SWAPPED = {Choice.A: Choice.B, Choice.B: Choice.A, Choice.TIE: Choice.TIE}


def compare_both_orders(judge: Judge, query: Sample, a: str, b: str) -> Choice | None:
    """The choice that both orders agree on; None where the judge follows the position, which says nothing."""
    first = judge.compare(query, a, b)
    second = _SWAPPED[judge.compare(query, b, a)]
    return first if first is second else None


@dataclass(frozen=True, kw_only=True)
class RuleWeights:
    """Shares of the parts of a score; they sum to 1."""

    facts: float = 0.7
    language: float = 0.1
    no_repetition: float = 0.1
    form: float = 0.1


class RuleJudge:
    """Total score in [0, 1] per answer; closer than `tie_margin` is a tie. Garbage scores 0."""

    name = "rules-1"

    def __init__(self, *, tie_margin: float = 0.05, weights: RuleWeights | None = None) -> None:
        self._tie_margin = tie_margin
        self._weights = weights or RuleWeights()

    def compare(self, query: Sample, a: str, b: str) -> Choice:
        margin = self.score(query, a) - self.score(query, b)
        if abs(margin) < self._tie_margin:
            return Choice.TIE
        return Choice.A if margin > 0 else Choice.B

    def score(self, query: Sample, answer: str) -> float:
        """Raises InputError for a query without meta["expected"]."""
        expected = query.meta.get("expected", "")
        if not expected:
            raise InputError(f'query {query.id} has no meta["expected"]; the rule judge needs an ideal answer')
        if is_garbage(answer):
            return 0.0
        parts = self._weights
        return (
            parts.facts * fact_score(answer, expected)
            + parts.language * language_score(answer, query.language, expected)
            + parts.no_repetition * (1.0 - repetition_share(answer))
            + parts.form * form_score(answer, expected)
        )


def fact_score(answer: str, expected: str) -> float:
    """Half for the right words, half for their right order; so `3 5 7` is not `7 5 3`."""
    ordered = per_position_accuracy(" ".join(tokens(answer)), " ".join(tokens(expected)))
    return 0.5 * token_f1(answer, [expected]) + 0.5 * ordered


def is_garbage(answer: str) -> bool:
    """Nothing said, broken characters, or thinking that never ends."""
    if "<think>" in answer.rsplit("</think>", 1)[-1] or not tokens(answer):
        return True
    num_broken = sum(c == "\ufffd" or (unicodedata.category(c) == "Cc" and c not in "\n\t") for c in answer)
    return num_broken > 0


_CHINESE = re.compile(r"[\u3400-\u9fff]")
_LATIN = re.compile(r"[A-Za-z]")


def language_score(answer: str, language: Language, expected: str) -> float:
    """Share of letters that belong to the query's language; 1 where neither answer nor ideal has letters (`8`)."""
    num_chinese, num_latin = len(_CHINESE.findall(answer)), len(_LATIN.findall(answer))
    if num_chinese + num_latin == 0:
        return float(not _CHINESE.search(expected) and not _LATIN.search(expected))
    own = num_chinese if language is Language.ZH else num_latin
    return own / (num_chinese + num_latin)


def repetition_share(answer: str) -> float:
    """Share of 3-token runs that were said before; 0 for short answers."""
    words = tokens(answer)
    runs = Counter(zip(words, words[1:], words[2:], strict=False))
    total = sum(runs.values())
    return sum(count - 1 for count in runs.values()) / total if total else 0.0


_ENDINGS = tuple(".!?。！？")


def form_score(answer: str, expected: str) -> float:
    """Ends as the ideal does (with or without a final mark), and is not more than twice as long."""
    ends_alike = answer.rstrip().endswith(_ENDINGS) == expected.rstrip().endswith(_ENDINGS)
    is_brief = len(tokens(answer)) <= 2 * len(tokens(expected))
    return 0.5 * ends_alike + 0.5 * is_brief
