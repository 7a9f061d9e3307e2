"""Is a mathematical answer equal to the reference: cheap exact checks, symbols only where those leave it open."""

from __future__ import annotations

from mimo_vl.answers.extraction import extract_boxed
from mimo_vl.answers.mathematics import MathVerdict, judge_cheaply
from mimo_vl.evaluation.scorers.verdict import failed
from mimo_vl.evaluation.task import EvalItem, ItemScore


def score_math(item: EvalItem, response: str) -> ItemScore:
    """1 if the last box equals the reference."""
    answer = extract_boxed(response)
    if answer.value is None:
        return failed(answer)
    verdict = judge_cheaply(item.reference, answer.value)
    return ItemScore(metrics={"score": float(verdict is MathVerdict.CORRECT)}, parsed=answer.value)
