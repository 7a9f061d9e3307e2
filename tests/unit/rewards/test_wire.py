from __future__ import annotations

import json

import pytest

from mimo_vl.rewards.service.wire import (
    MAX_BATCH,
    RejectedError,
    check_token,
    check_versions,
    distinct_requests,
    parse_batch,
)
from mimo_vl.schema.reward import ScoreResult, ScoreStatus
from mimo_vl.vocabulary import RewardTask
from tests.fakes.rewards import score_request

REQUEST = score_request(RewardTask.COUNTING, "x", "3")


def _body(**changes: object) -> bytes:
    return json.dumps({"requests": [REQUEST.model_dump(mode="json") | changes]}).encode()


def test_the_right_token_passes_in_any_case_of_the_scheme() -> None:
    check_token("bearer secret", "secret")


@pytest.mark.parametrize("header", [None, "", "secret", "Basic secret", "Bearer", "Bearer secre", "Bearer geheimnis ü"])
def test_any_other_token_is_refused(header: str | None) -> None:
    with pytest.raises(RejectedError, match="bearer token") as caught:
        check_token(header, "secret")
    assert caught.value.status == 401


def test_a_good_body_parses() -> None:
    assert parse_batch(_body()).requests == (REQUEST,)


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 400, "JSON"),
        (b"{", 400, "JSON"),
        (b"null", 422, "body"),
        (_body(task="poetry"), 422, "requests.0.task"),
        (_body(response=3), 422, "requests.0.response"),
        (_body(colour="red"), 422, "requests.0.colour"),
        (
            json.dumps({"requests": [REQUEST.model_dump(mode="json")] * (MAX_BATCH + 1)}).encode(),
            413,
            "split the batch",
        ),
    ],
)
def test_a_bad_body_names_the_field(body: bytes, status: int, words: str) -> None:
    with pytest.raises(RejectedError, match=words) as caught:
        parse_batch(body)
    assert caught.value.status == status


def test_equal_duplicates_are_one_and_different_ones_are_refused() -> None:
    assert list(distinct_requests([REQUEST, REQUEST])) == ["r0"]
    with pytest.raises(RejectedError, match="two different requests"):
        distinct_requests([REQUEST, REQUEST.model_copy(update={"response": "y"})])


def test_another_version_is_a_conflict_but_a_missing_verdict_is_not() -> None:
    scored = ScoreResult(id="r0", reward=1.0, status=ScoreStatus.SCORED, reward_name="count_exact", version="1")
    missing = ScoreResult(id="r0", status=ScoreStatus.UNAVAILABLE, reward_name="count_exact", version="none")
    check_versions({RewardTask.COUNTING: "count_exact/1"}, [REQUEST], [scored])
    check_versions({RewardTask.COUNTING: "count_exact/2"}, [REQUEST], [missing])
    with pytest.raises(RejectedError, match="count_exact/1, the caller wants count_exact/2") as caught:
        check_versions({RewardTask.COUNTING: "count_exact/2"}, [REQUEST], [scored])
    assert caught.value.status == 409
