from __future__ import annotations

from mimo_vl.rewards.reward_model import token_batches
from mimo_vl.rewards.service.client import split_batches
from mimo_vl.vocabulary import RewardTask
from tests.fakes.rewards import score_request


def _requests(*questions: str) -> list:
    return [
        score_request(RewardTask.PREFERENCE_TEXT, "x", request_id=str(i), question=q) for i, q in enumerate(questions)
    ]


def test_a_group_is_not_torn_over_two_batches() -> None:
    batches = split_batches(_requests("a", "a", "b", "b", "b", "c"), batch_size=4)
    assert [[r.id for r in b] for b in batches] == [["0", "1"], ["2", "3", "4", "5"]]


def test_a_group_larger_than_a_batch_is_cut() -> None:
    batches = split_batches(_requests("a", "a", "a", "a", "a"), batch_size=2)
    assert [len(b) for b in batches] == [2, 2, 1]


def test_no_requests_make_no_batch() -> None:
    assert split_batches([], batch_size=4) == []


def test_token_batches_stay_within_the_budget_and_keep_the_order() -> None:
    assert token_batches([3, 3, 3, 9, 1], budget=8) == [[0, 1], [2], [3], [4]]
    assert token_batches([], budget=8) == []
    # A sequence longer than the budget goes alone.
    assert token_batches([20, 1], budget=8) == [[0], [1]]
