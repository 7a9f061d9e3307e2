"""Evaluation and the reward service judge the verifiable families alike: one answer, one number."""

from __future__ import annotations

import pytest

from mimo_vl.answers.mathematics import MathVerdict
from mimo_vl.config.rewards import RewardsConfig
from mimo_vl.evaluation.scorers import build_scorers
from mimo_vl.evaluation.task import EvalItem
from mimo_vl.rewards.requests import score_request
from mimo_vl.rewards.verdict import RuleContext
from mimo_vl.rewards.verifiers.registry import build_registry
from mimo_vl.schema.evaluation import ItemStatus
from mimo_vl.schema.reward import ScoreStatus
from mimo_vl.vocabulary import RewardTask
from tests.fakes.items import eval_sample
from tests.fakes.math_judge import CheapJudge
from tests.fakes.own_verifiers import rewards_with
from tests.fakes.rewards import CheapMathJudge

TASK_OF = {
    "math_answer": RewardTask.VISUAL_REASONING,
    "count_exact": RewardTask.COUNTING,
    "grounding_box": RewardTask.GROUNDING_BOX,
    "grounding_point": RewardTask.GROUNDING_POINT,
    "temporal_iou": RewardTask.TEMPORAL_GROUNDING,
}
CASES = [
    ("math_answer", "8", r"<think>3+5=8</think>\boxed{8}"),
    ("math_answer", "8", r"\boxed{9}"),
    ("math_answer", "8", "The answer is 8"),
    ("math_answer", "8", "<think>8"),
    ("count_exact", "3", r"\boxed{three}"),
    ("count_exact", "3", "3"),
    ("grounding_box", "[10, 10, 40, 40]", '[{"bbox_2d": [24, 20, 80, 70]}]'),
    ("grounding_box", "[10, 10, 40, 40]", '[{"bbox_2d": [20, 20, 80, 80]}, {"bbox_2d": [0, 0, 9, 9]}]'),
    ("grounding_box", "[10, 10, 40, 40]", "nothing"),
    ("grounding_point", "[10, 10, 40, 40]", '[{"point_2d": [79, 79]}]'),
    ("grounding_point", "[10, 10, 40, 40]", '[{"point_2d": [81, 81]}]'),
    ("temporal_iou", "[2.0, 5.0]", r"\boxed{[00:03, 00:06]}"),
    ("temporal_iou", "[2.0, 5.0]", r"\boxed{soon}"),
]


@pytest.mark.parametrize(("scorer", "reference", "response"), CASES)
def test_score_equals_reward(scorer: str, reference: str, response: str) -> None:
    # Sent at twice the stored size: both sides must scale.
    sample = eval_sample(reference=reference, size=(56, 56)).model_copy(update={"task": TASK_OF[scorer]})
    score = build_scorers(CheapJudge())[scorer](EvalItem(sample=sample, sent_sizes=((112, 112),)), response)
    request = score_request(sample, response, request_id="r", seen_sizes=[(112, 112)])
    context = RuleContext(config=RewardsConfig(), math=CheapJudge())
    verdict = build_registry(RewardsConfig())[TASK_OF[scorer]].verify(request, context)
    assert score.metrics["score"] == pytest.approx(verdict.reward)


def test_an_answer_that_is_not_decided_in_time_has_neither_score_nor_reward() -> None:
    sample = eval_sample(reference="8").model_copy(update={"task": RewardTask.VISUAL_REASONING})
    judge = CheapMathJudge(MathVerdict.TIMEOUT)
    score = build_scorers(judge)["math_answer"](EvalItem(sample=sample), r"\boxed{x+y}")
    context = RuleContext(config=RewardsConfig(), math=judge)
    request = score_request(sample, r"\boxed{x+y}", request_id="r", seen_sizes=[])
    verdict = build_registry(RewardsConfig())[RewardTask.VISUAL_REASONING].verify(request, context)
    assert (verdict.status, verdict.reward) == (ScoreStatus.TIMEOUT, None)
    assert (score.status, score.metrics) == (ItemStatus.JUDGE_ERROR, {})
    assert score.parsed == verdict.reason == "'x+y' was not decided in time"


def test_an_own_verifier_scores_items_of_evaluation_by_its_reward() -> None:
    rewards = rewards_with("SHARE", "3")
    score_own = build_scorers(CheapJudge(), rewards)[RewardTask.CUSTOM]
    sample = eval_sample(reference="1234").model_copy(update={"task": RewardTask.CUSTOM})
    assert score_own(EvalItem(sample=sample), "1299").metrics == {"score": 0.5}
    failed = score_own(EvalItem(sample=sample), "boom")
    assert (failed.status, failed.metrics) == (ItemStatus.JUDGE_ERROR, {})
    assert failed.parsed.endswith("raised KeyError: 'boom'")
    assert RewardTask.CUSTOM not in build_scorers(CheapJudge(), RewardsConfig())
