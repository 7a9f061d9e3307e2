"""Is a mathematical answer equal to the reference."""

from __future__ import annotations

from mimo_vl.answers.extraction import extract_final
from mimo_vl.answers.mathematics import MathVerdict
from mimo_vl.evaluation.scorers.verdict import failed
from mimo_vl.evaluation.task import EvalItem, ItemScore
from mimo_vl.rewards.verdict import MathJudge
from mimo_vl.schema.evaluation import ItemStatus


def score_math(judge: MathJudge, item: EvalItem, response: str) -> ItemScore:
    """1 if the final answer equals the reference; one that is not decided in time is not scored, and counted.

    Raises:
        ValueError: the reference itself cannot be read.
    """
    answer = extract_final(response)
    if answer.value is None:
        return failed(answer)
    verdict = judge.judge(item.reference, answer.value)
    if verdict is MathVerdict.UNPARSABLE_GOLD:
        raise ValueError(f"item {item.sample.id}: reference {item.reference!r} cannot be read as an answer")
    if verdict is MathVerdict.TIMEOUT:
        reason = f"{answer.value[:60]!r} was not decided in time"
        return ItemScore(parsed=reason, status=ItemStatus.JUDGE_ERROR)
    is_readable = verdict in (MathVerdict.CORRECT, MathVerdict.WRONG)
    return ItemScore(
        metrics={"score": float(verdict is MathVerdict.CORRECT)},
        parsed=answer.value if is_readable else f"{answer.value[:60]}: {verdict}",
        status=ItemStatus.OK if is_readable else ItemStatus.FORMAT_ERROR,
    )
