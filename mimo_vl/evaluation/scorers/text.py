"""How close a short text is to the true one: digits read right, equality, token F1."""

from __future__ import annotations

import re

from mimo_vl.answers.characters import to_half_width
from mimo_vl.answers.extraction import Extraction, answer_part, boxes_in, extract_boxed, format_error
from mimo_vl.answers.text import per_position_accuracy, token_f1
from mimo_vl.evaluation.scorers.verdict import failed
from mimo_vl.evaluation.task import EvalItem, ItemScore


def score_digits(item: EvalItem, response: str) -> ItemScore:
    """Share of digits read right: 1 - edit distance / longer length, so an extra digit costs as a missing one does."""
    text = _final_text(response)
    digits = re.sub(r"[^0-9]", "", to_half_width(text.value)) if text.value is not None else ""
    if text.value is not None and not digits:
        text = format_error("no digit in the answer")
    if text.value is None:
        return failed(text, "all_digits_right")
    truth = re.sub(r"[^0-9]", "", item.reference)
    metrics = {"score": per_position_accuracy(digits, truth), "all_digits_right": float(digits == truth)}
    return ItemScore(metrics=metrics, parsed=digits)


def score_exact(item: EvalItem, response: str) -> ItemScore:
    """Equality after case, width of characters, spaces and a final period are made one."""
    text = _final_text(response)
    if text.value is None:
        return failed(text)
    is_equal = _normalised(text.value) == _normalised(item.reference)
    return ItemScore(metrics={"score": float(is_equal)}, parsed=text.value)


def score_token_f1(item: EvalItem, response: str) -> ItemScore:
    """SQuAD's F1 over the multiset of tokens (Chinese: characters); equality beside it."""
    text = _final_text(response)
    if text.value is None:
        return failed(text, "exact")
    is_equal = _normalised(text.value) == _normalised(item.reference)
    return ItemScore(
        metrics={"score": token_f1(text.value, [item.reference]), "exact": float(is_equal)}, parsed=text.value
    )


def _final_text(response: str) -> Extraction[str]:
    """The last box if the answer part has one, else the answer part."""
    part = answer_part(response)
    return extract_boxed(response) if part.value is not None and boxes_in(part.value) else part


def _normalised(text: str) -> str:
    return " ".join(to_half_width(text).casefold().split()).rstrip(".").strip()
