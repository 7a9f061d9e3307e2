"""The HTTP face with fake backends: what happens when one of them is full, dead, slow or missing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence

import pytest

pytest.importorskip("ray.serve", reason="the service needs the serve extra")

from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError
from starlette.requests import Request
from starlette.responses import Response

from mimo_vl.config.rewards import RewardsConfig
from mimo_vl.rewards.router import RawScore, RuleRouter, preference_results
from mimo_vl.rewards.service import ingress as ingress_module
from mimo_vl.rewards.service.ingress import Ingress
from mimo_vl.schema.reward import ScoreBatchRequest, ScoreBatchResponse, ScoreRequest, ScoreResult, ScoreStatus
from mimo_vl.vocabulary import RewardTask
from tests.fakes.rewards import CheapMathJudge, score_request

# The first import of ray takes seconds.
pytestmark = pytest.mark.timeout(120)

CONFIG = RewardsConfig(request_deadline_s=0.05, math_deadline_s=0.05)
Score = Callable[[Sequence[ScoreRequest]], Awaitable[list[ScoreResult]]]


class _Method:
    def __init__(self, function: Score) -> None:
        self.remote = function


class _Handle:
    def __init__(self, function: Score) -> None:
        self.score = _Method(function)


async def _rules(requests: Sequence[ScoreRequest]) -> list[ScoreResult]:
    router = RuleRouter(CONFIG, CheapMathJudge())
    return [router.score(r) for r in requests]


async def _model(requests: Sequence[ScoreRequest]) -> list[ScoreResult]:
    return preference_results(requests, [RawScore(0.0)] * len(requests), CONFIG, version="v")


async def _dead(requests: Sequence[ScoreRequest]) -> list[ScoreResult]:
    raise RayActorError


async def _full(requests: Sequence[ScoreRequest]) -> list[ScoreResult]:
    raise BackPressureError(num_queued_requests=1, max_queued_requests=1)


async def _hung(requests: Sequence[ScoreRequest]) -> list[ScoreResult]:
    await asyncio.Event().wait()
    raise AssertionError


def _call(
    models: Mapping[RewardTask, Score],
    body: bytes,
    *,
    rules: Score = _rules,
    path: str = "/v1/score",
    chunk_size: int = 1000,
) -> Response:
    handles = {task: _Handle(function) for task, function in models.items()}
    app = Ingress(CONFIG, "secret", _Handle(rules), handles)
    chunks = [body[i : i + chunk_size] for i in range(0, len(body), chunk_size)] or [b""]

    async def receive() -> dict[str, object]:
        chunk = chunks.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": bool(chunks)}

    headers = [(b"authorization", b"Bearer secret")]
    scope = {"type": "http", "method": "POST", "path": path, "headers": headers, "query_string": b""}
    return asyncio.run(app(Request(scope, receive)))


REQUESTS = (
    score_request(RewardTask.PREFERENCE_TEXT, "a", request_id="text"),
    score_request(RewardTask.COUNTING, r"\boxed{3}", "3", request_id="count"),
    score_request(RewardTask.PREFERENCE_MULTIMODAL, "b", request_id="picture"),
)
BODY = ScoreBatchRequest(requests=REQUESTS).to_json()


def _results(response: Response) -> list[tuple[str, float | None, ScoreStatus]]:
    assert response.status_code == 200
    return [(r.id, r.reward, r.status) for r in ScoreBatchResponse.from_json(bytes(response.body)).results]


def test_each_task_reaches_its_backend_and_the_order_is_kept() -> None:
    both = {RewardTask.PREFERENCE_TEXT: _model, RewardTask.PREFERENCE_MULTIMODAL: _model}
    assert _results(_call(both, BODY)) == [
        ("text", 0.5, ScoreStatus.SCORED),
        ("count", 1.0, ScoreStatus.SCORED),
        ("picture", 0.5, ScoreStatus.SCORED),
    ]


def test_a_dead_model_and_a_missing_one_are_unavailable_while_the_rules_go_on() -> None:
    assert _results(_call({RewardTask.PREFERENCE_TEXT: _dead}, BODY)) == [
        ("text", None, ScoreStatus.UNAVAILABLE),
        ("count", 1.0, ScoreStatus.SCORED),
        ("picture", None, ScoreStatus.UNAVAILABLE),
    ]


def test_a_hung_model_is_a_timeout_with_reward_null(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingress_module, "_MARGIN_S", 0.0)
    assert _results(_call({RewardTask.PREFERENCE_TEXT: _hung}, BODY))[:2] == [
        ("text", None, ScoreStatus.TIMEOUT),
        ("count", 1.0, ScoreStatus.SCORED),
    ]


def test_a_full_queue_asks_the_caller_to_come_back() -> None:
    response = _call({}, BODY, rules=_full)
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"


def test_an_unknown_route_says_which_one_exists() -> None:
    response = _call({}, BODY, path="/score")
    assert response.status_code == 404
    assert "POST /v1/score" in json.loads(bytes(response.body))["error"]


def test_a_body_over_the_limit_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingress_module, "MAX_BODY_BYTES", 100)
    assert _call({}, BODY, chunk_size=60).status_code == 413
