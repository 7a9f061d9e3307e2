"""How close two texts are: token F1, edit distance, ANLS, relaxed numeric accuracy."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal

from mimo_vl.answers.numbers import parse_number

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation + "，。！？；：、“”‘’（）《》")
# A run of word characters outside CJK is one token; each CJK character is its own.
_TOKEN = re.compile(r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]+")
ANLS_THRESHOLD = 0.5
RELAXED_TOLERANCE = Decimal("0.05")


def tokens(text: str) -> list[str]:
    """SQuAD: lower case, without punctuation and articles; Chinese by character."""
    return _TOKEN.findall(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)))


def token_f1(predicted: str, truths: Sequence[str]) -> float:
    """F1 of token multisets, maximum over the truths; both empty 1, one empty 0."""
    return max((_f1(tokens(predicted), tokens(truth)) for truth in truths), default=0.0)


def _f1(predicted: list[str], true: list[str]) -> float:
    if not predicted or not true:
        return float(predicted == true)
    num_common = sum((Counter(predicted) & Counter(true)).values())
    return 2 * num_common / (len(predicted) + len(true))


def edit_distance(a: Sequence[object], b: Sequence[object]) -> int:
    """Levenshtein, in O(len(a) * len(b)) time and one row of memory."""
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, start=1):
        diagonal, row[0] = row[0], i
        for j, right in enumerate(b, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (left != right))
    return row[-1]


def anls(predicted: str, truths: Sequence[str]) -> float:
    """Max over truths of 1 - distance / longer length; below 0.5 counts as 0 (exactly 0.5 is kept); both empty 1."""
    return max((_similarity(_collapsed(predicted), _collapsed(t)) for t in truths), default=0.0)


def _collapsed(text: str) -> str:
    return " ".join(text.lower().split())


def _similarity(predicted: str, true: str) -> float:
    longer = max(len(predicted), len(true))
    if longer == 0:
        return 1.0
    if abs(len(predicted) - len(true)) / longer > ANLS_THRESHOLD:
        return 0.0
    score = 1 - edit_distance(predicted, true) / longer
    return score if score >= ANLS_THRESHOLD else 0.0


def relaxed_match(predicted: str, true: str) -> bool:
    """ChartQA: numbers within 5 % of the truth (`12%` is 0.12; truth 0 is exact), else equality without case."""
    left, right = parse_number(predicted), parse_number(true)
    if left is None or right is None:
        return predicted.strip().casefold() == true.strip().casefold()
    value = left.value / 100 if left.is_percent else left.value
    target = right.value / 100 if right.is_percent else right.value
    return value == target if target == 0 else abs(value - target) / abs(target) <= RELAXED_TOLERANCE


def per_position_accuracy(predicted: str, true: str) -> float:
    """Share of the truth's characters read right: 1 - edit distance / longer length."""
    longer = max(len(predicted), len(true))
    return 1.0 if longer == 0 else 1 - edit_distance(predicted, true) / longer
