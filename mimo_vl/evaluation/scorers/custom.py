"""The user's own verifier as a scorer: the reward of RL is the score of evaluation."""

from __future__ import annotations

from mimo_vl.evaluation.task import EvalItem, ItemScore
from mimo_vl.rewards.requests import score_request
from mimo_vl.rewards.verdict import RuleContext, Verifier
from mimo_vl.schema.evaluation import ItemStatus
from mimo_vl.schema.reward import ScoreStatus


def score_custom(verifier: Verifier, context: RuleContext, item: EvalItem, response: str) -> ItemScore:
    """An answer that the verifier cannot judge is not scored, and counted."""
    request = score_request(item.sample, response, request_id=item.sample.id, seen_sizes=item.sent_sizes)
    verdict = verifier.verify(request, context)
    if verdict.reward is None:
        return ItemScore(parsed=verdict.reason, status=ItemStatus.JUDGE_ERROR)
    is_scored = verdict.status is ScoreStatus.SCORED
    return ItemScore(
        metrics={"score": verdict.reward},
        parsed=verdict.reason,
        status=ItemStatus.OK if is_scored else ItemStatus.FORMAT_ERROR,
    )
