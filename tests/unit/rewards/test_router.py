from __future__ import annotations

import pytest

from mimo_vl.config.rewards import RewardsConfig
from mimo_vl.rewards.mapping import rank_in_group, sigmoid
from mimo_vl.rewards.router import RawScore, Router, preference_results
from mimo_vl.schema.reward import ScoreStatus
from mimo_vl.vocabulary import RewardTask
from tests.fakes.rewards import BrokenScorer, CheapMathJudge, LengthScorer, score_request


def _router(config: RewardsConfig | None = None, **scorers: object) -> Router:
    by_task = {RewardTask(name): scorer for name, scorer in scorers.items()}
    return Router(config or RewardsConfig(), CheapMathJudge(), by_task)  # type: ignore[arg-type]


def test_mixed_tasks_come_back_in_the_order_asked() -> None:
    requests = [
        score_request(RewardTask.PREFERENCE_TEXT, "long answer", request_id="a"),
        score_request(RewardTask.COUNTING, r"\boxed{3}", "3", request_id="b"),
        score_request(RewardTask.PREFERENCE_TEXT, "", request_id="c"),
    ]
    results = _router(preference_text=LengthScorer()).score(requests)
    assert [r.id for r in results] == ["a", "b", "c"]
    assert [r.reward for r in results] == [pytest.approx(sigmoid(11.0)), 1.0, 0.5]
    assert [r.version for r in results] == ["length-1", "1", "length-1"]
    assert results[0].breakdown == {"score": 11.0}
    assert results[0].reward_name == "bradley_terry_sigmoid"


def test_a_task_without_a_model_is_unavailable_not_zero() -> None:
    result = _router().score([score_request(RewardTask.PREFERENCE_MULTIMODAL, "x")])[0]
    assert (result.reward, result.status) == (None, ScoreStatus.UNAVAILABLE)


def test_a_broken_model_leaves_the_rules_working() -> None:
    requests = [
        score_request(RewardTask.PREFERENCE_TEXT, "x", request_id="a"),
        score_request(RewardTask.COUNTING, r"\boxed{3}", "3", request_id="b"),
    ]
    results = _router(preference_text=BrokenScorer()).score(requests)
    assert [(r.reward, r.status) for r in results] == [(None, ScoreStatus.UNAVAILABLE), (1.0, ScoreStatus.SCORED)]
    assert "weights are gone" in results[0].reason


def test_an_empty_batch_gives_no_results() -> None:
    assert _router().score([]) == []


def test_a_score_that_is_not_finite_is_no_reward() -> None:
    requests = [score_request(RewardTask.PREFERENCE_TEXT, "x", request_id=str(i)) for i in range(2)]
    raw = [RawScore(float("nan")), RawScore(0.0)]
    results = preference_results(requests, raw, RewardsConfig(), version="v")
    assert [r.reward for r in results] == [None, 0.5]


def test_ranks_are_taken_within_one_prompt_only() -> None:
    requests = [
        score_request(RewardTask.PREFERENCE_TEXT, "x" * n, request_id=f"{question}{n}", question=question)
        for question, n in (("p", 1), ("q", 9), ("p", 3), ("p", 2), ("q", 8))
    ]
    config = RewardsConfig(preference_mapping="rank_in_group")
    results = _router(config, preference_text=LengthScorer()).score(requests)
    assert [r.reward for r in results] == [0.0, 1.0, 1.0, 0.5, 0.0]
    assert {r.reward_name for r in results} == {"bradley_terry_rank_in_group"}


def test_tied_ranks_share_and_a_lone_answer_is_in_the_middle() -> None:
    assert rank_in_group([1.0, 1.0, 2.0, 7.0], ["p", "p", "p", "q"]) == [0.25, 0.25, 1.0, 0.5]


@pytest.mark.parametrize(("score", "reward"), [(0.0, 0.5), (-1e6, 0.0), (1e6, 1.0)])
def test_sigmoid_never_overflows(score: float, reward: float) -> None:
    assert sigmoid(score) == reward
