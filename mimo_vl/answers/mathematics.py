r"""Whether two mathematical answers are equal. Order of checks: spelling, exact numbers, structure, limits, symbols.

`judge_cheaply` decides most answers in microseconds and refuses what could hang a symbolic engine. What it leaves open
goes to `judge_symbolically` (Math-Verify), which belongs in a process that can be killed: see rewards/math_pool.py.
Policies, each a test: lists are ordered, sets are not; kinds never mix (`(3,4)` is no set and not `3,4`);
10\% is 0.1; units convert, 5 m is not 5 cm; 0.333 is not 1/3; model text is never evaluated as code.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from mimo_vl.answers.latex import normalise_latex, split_top_level, squeezed
from mimo_vl.answers.quantities import parse_quantity, quantities_equal

MAX_ANSWER_CHARS = 400
# Powers and factorials beyond these are refused before they reach the symbolic engine.
MAX_EXPONENT = 1000
MAX_FACTORIAL = 5000


class MathVerdict(StrEnum):
    CORRECT = "correct"
    WRONG = "wrong"
    UNPARSABLE_ANSWER = "unparsable_answer"
    UNPARSABLE_GOLD = "unparsable_gold"
    TIMEOUT = "timeout"


class _Kind(StrEnum):
    SCALAR = "scalar"
    LIST = "list"
    TUPLE = "tuple"
    INTERVAL = "interval"
    SET = "set"
    COLON = "colon"
    RELATION = "relation"
    CHOICES = "choices"
    TEXT = "text"


@dataclass(frozen=True)
class _Structure:
    kind: _Kind
    items: tuple[str, ...]
    brackets: str = ""


Symbolic = Callable[[str, str], MathVerdict | None]


def judge_cheaply(gold: str, answer: str) -> MathVerdict | None:
    """A verdict without symbolic algebra; None when only that could tell. Refuses what could hang it."""
    if not gold.strip():
        return MathVerdict.UNPARSABLE_GOLD
    if not answer.strip() or len(answer) > MAX_ANSWER_CHARS:
        return MathVerdict.UNPARSABLE_ANSWER
    true, given = normalise_latex(gold), normalise_latex(answer)
    if squeezed(true) == squeezed(given):
        return MathVerdict.CORRECT
    if is_dangerous(given):
        return MathVerdict.UNPARSABLE_ANSWER
    if is_dangerous(true):
        return MathVerdict.UNPARSABLE_GOLD
    return _compare(true, given, lambda _gold, _answer: None)


def judge_symbolically(gold: str, answer: str) -> MathVerdict:
    """With Math-Verify, for what `judge_cheaply` left open. May hang or eat memory: call it in a worker process."""
    # sympy costs 0.5 s and 60 MB: only the worker process pays it.
    from mimo_vl.answers.symbolic import scalars_equal

    verdict = _compare(normalise_latex(gold), normalise_latex(answer), scalars_equal)
    return MathVerdict.WRONG if verdict is None else verdict


def is_dangerous(text: str) -> bool:
    """Stacked or huge powers, large or repeated factorials, very long digit strings."""
    if re.search(r"\^\s*(?:\{[^{}]*\^|\w\s*\^|\([^()]*\^)", text) or "!!" in text.replace(" ", ""):
        return True
    exponents = re.findall(r"\^\s*(?:\{\s*-?\s*(\d+)|\(\s*-?\s*(\d+)|-?(\d+))", text)
    factorials = re.findall(r"(\d+)\s*!", text)
    if any(int(("".join(e))[:9]) > MAX_EXPONENT for e in exponents) or any(
        int(f[:9]) > MAX_FACTORIAL for f in factorials
    ):
        return True
    return re.search(r"\)\s*!|\}\s*!|\d{65}", text) is not None


def _compare(gold: str, answer: str, symbolic: Symbolic) -> MathVerdict | None:
    gold, answer = _strip_assignment(_PARENTHESISED.sub(r"\1", gold), _PARENTHESISED.sub(r"\1", answer))
    if squeezed(gold) == squeezed(answer):
        return MathVerdict.CORRECT
    quantity_gold, quantity_answer = parse_quantity(gold), parse_quantity(answer)
    if quantity_gold and quantity_answer:
        return _verdict(quantities_equal(quantity_gold, quantity_answer))
    true, given = _structure(gold), _structure(answer)
    if _Kind.TEXT in (true.kind, given.kind):
        return _verdict(_text_key(gold) == _text_key(answer))
    if true.kind is not given.kind or len(true.items) != len(given.items) or true.brackets != given.brackets:
        return MathVerdict.WRONG
    if true.kind is _Kind.SCALAR:
        return symbolic(gold, answer)
    if true.kind is _Kind.RELATION:
        return symbolic(gold, answer)
    if true.kind in (_Kind.SET, _Kind.CHOICES):
        return _all_matched(true.items, given.items, symbolic)
    return _all_equal([_compare(a, b, symbolic) for a, b in zip(true.items, given.items, strict=True)])


def _verdict(is_equal: bool) -> MathVerdict:
    return MathVerdict.CORRECT if is_equal else MathVerdict.WRONG


def _all_equal(verdicts: list[MathVerdict | None]) -> MathVerdict | None:
    """One wrong element decides; otherwise one open element leaves the whole open."""
    for verdict in verdicts:
        if verdict not in (MathVerdict.CORRECT, None):
            return verdict
    return None if None in verdicts else MathVerdict.CORRECT


def _all_matched(gold: tuple[str, ...], answer: tuple[str, ...], symbolic: Symbolic) -> MathVerdict | None:
    """Any order; equality is transitive, so taking the first partner found loses nothing."""
    left = list(answer)
    is_open = False
    for item in gold:
        verdicts = [_compare(item, other, symbolic) for other in left]
        if MathVerdict.CORRECT in verdicts:
            del left[verdicts.index(MathVerdict.CORRECT)]
        elif None in verdicts:
            is_open = True
        else:
            return MathVerdict.WRONG
    return None if is_open else MathVerdict.CORRECT


# Parentheses around one plain item only group: (A) is A.
_PARENTHESISED = re.compile(r"^\(([^(),]*)\)$")
_RELATION = re.compile(r"=|<|>|\\le(?![a-z])|\\ge(?![a-z])|\\ne(?![a-z])|\\in(?![a-z])")
_ASSIGNMENT = re.compile(r"\s*(?:\\?[A-Za-z]+(?:_\{?\w+\}?)?|[A-Za-z]\([a-z]\))\s*=\s*([^=<>]+)")


def _strip_assignment(gold: str, answer: str) -> tuple[str, str]:
    """`x = 3` against `3` compares the values; two relations stay relations."""
    has_gold, has_answer = bool(_RELATION.search(gold)), bool(_RELATION.search(answer))
    if has_gold != has_answer:
        if has_gold and (match := _ASSIGNMENT.fullmatch(gold)):
            return match[1].strip(), answer
        if has_answer and (match := _ASSIGNMENT.fullmatch(answer)):
            return gold, match[1].strip()
    return gold, answer


# Words that are mathematics, not prose.
_MATH_WORD_LIST = (
    "sin cos tan cot sec csc arcsin arccos arctan ln log exp sqrt frac binom max min mod pi infty pm cdot times div le "
    "ge ne in cup cap circ overline alpha beta gamma theta phi lambda mu sigma omega begin end matrix pmatrix bmatrix"
)
_MATH_WORDS = frozenset(_MATH_WORD_LIST.split())
_ALTERNATIVES = re.compile(r"\s+(?:or|and|和|或)\s+|或者|或|和", re.IGNORECASE)


def _structure(text: str) -> _Structure:
    if len(choices := _ALTERNATIVES.split(text)) > 1:
        return _Structure(_Kind.CHOICES, tuple(c.strip() for c in choices))
    if _is_prose(text):
        return _Structure(_Kind.TEXT, (text,))
    if len(parts := split_top_level(text)) > 1 and not _is_thousands(text):
        return _Structure(_Kind.LIST, tuple(parts))
    if (bracketed := _bracketed(text)) is not None:
        return bracketed
    if r"\pm" in text:
        return _Structure(_Kind.SET, (text.replace(r"\pm", ""), text.replace(r"\pm", "-")), r"\{}")
    if _RELATION.search(text):
        return _Structure(_Kind.RELATION, (text,))
    if len(parts := split_top_level(text, ":")) > 1:
        return _Structure(_Kind.COLON, tuple(parts))
    return _Structure(_Kind.SCALAR, (text,))


def _bracketed(text: str) -> _Structure | None:
    if text.startswith(r"\{") and text.endswith(r"\}"):
        return _Structure(_Kind.SET, tuple(split_top_level(text[2:-2])), r"\{}")
    if len(text) < 2 or text[0] not in "([" or text[-1] not in ")]" or len(split_top_level(text)) > 1:
        return None
    items = tuple(split_top_level(text[1:-1]))
    if len(items) == 1:
        return None
    brackets = text[0] + text[-1]
    return _Structure(_Kind.TUPLE if brackets == "()" else _Kind.INTERVAL, items, brackets)


def _is_thousands(text: str) -> bool:
    return re.fullmatch(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?(?:\s*\\?%)?", text) is not None


def _is_prose(text: str) -> bool:
    """A run of three or more letters, or Chinese text, that is no mathematical word: never searched for a number."""
    words = re.findall(r"[A-Za-z]{3,}", text)
    return any(w.lower() not in _MATH_WORDS for w in words) or re.search(r"[\u4e00-\u9fff]", text) is not None


def _text_key(text: str) -> str:
    return re.sub(r"[\s().]+", " ", text).casefold().strip()
