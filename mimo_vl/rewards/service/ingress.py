"""The HTTP face of the reward service: token, limits, validation, split by task, results in the order asked."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence

from ray.exceptions import RayError
from ray.serve.exceptions import BackPressureError, RayServeException
from ray.serve.handle import DeploymentHandle
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mimo_vl.config.rewards import RewardsConfig
from mimo_vl.rewards.router import PREFERENCE_TASKS, unjudged
from mimo_vl.rewards.service.telemetry import Telemetry
from mimo_vl.rewards.service.wire import (
    MAX_BODY_BYTES,
    RejectedError,
    check_token,
    check_versions,
    distinct_requests,
    parse_batch,
)
from mimo_vl.schema.reward import ScoreBatchResponse, ScoreRequest, ScoreResult, ScoreStatus
from mimo_vl.vocabulary import RewardTask

logger = logging.getLogger(__name__)

# How long /healthz waits for a reward model to say its version.
_DESCRIBE_TIMEOUT_S = 5.0
# On top of the workers' own deadline, so that theirs comes first.
_MARGIN_S = 5.0


class Ingress:
    """Routes: POST /v1/score (bearer token), GET /healthz, GET /metrics."""

    def __init__(
        self,
        config: RewardsConfig,
        token: str,
        rules: DeploymentHandle,
        reward_models: Mapping[RewardTask, DeploymentHandle],
    ) -> None:
        self._config = config
        self._token = token
        self._rules = rules
        self._reward_models = dict(reward_models)
        self._telemetry = Telemetry()

    async def __call__(self, request: Request) -> Response:
        route = (request.method, request.url.path.rstrip("/"))
        if route == ("GET", "/healthz"):
            return JSONResponse(await self._health())
        if route == ("GET", "/metrics"):
            return Response(self._telemetry.render(), media_type="text/plain; version=0.0.4")
        try:
            if route != ("POST", "/v1/score"):
                raise RejectedError(404, f"no route {request.method} {request.url.path}; POST /v1/score scores a batch")
            return await self._score(request)
        except RejectedError as error:
            return self._rejection(error.status, error.message)
        except BackPressureError:
            return self._rejection(503, "the queue is full; send the batch again later")

    def _rejection(self, status: int, message: str) -> Response:
        self._telemetry.reject(status)
        headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {"Retry-After": "1"} if status == 503 else None
        return JSONResponse({"error": message}, status_code=status, headers=headers)

    async def _score(self, http: Request) -> Response:
        check_token(http.headers.get("authorization"), self._token)
        start = time.perf_counter()
        batch = parse_batch(await _limited_body(http))
        distinct = list(distinct_requests(batch.requests).values())
        with self._telemetry.queued(len(distinct)):
            results = await self._dispatch(distinct)
        check_versions(batch.expected_versions, distinct, results)
        by_id = {r.id: r for r in results}
        ordered = [by_id[r.id] for r in batch.requests]
        self._telemetry.observe(batch.requests, ordered, time.perf_counter() - start)
        content = ScoreBatchResponse(results=tuple(ordered)).to_json()
        return Response(content, media_type="application/json")

    async def _dispatch(self, requests: Sequence[ScoreRequest]) -> list[ScoreResult]:
        """Each backend gets its requests as one call; all backends work at the same time."""
        groups: dict[RewardTask | None, list[int]] = {}
        for index, request in enumerate(requests):
            backend = request.task if request.task in PREFERENCE_TASKS else None
            groups.setdefault(backend, []).append(index)
        answers = await asyncio.gather(
            *(self._ask(backend, [requests[i] for i in indices]) for backend, indices in groups.items())
        )
        results: dict[int, ScoreResult] = {}
        for indices, answer in zip(groups.values(), answers, strict=True):
            results.update(zip(indices, answer, strict=True))
        return [results[i] for i in range(len(requests))]

    async def _ask(self, backend: RewardTask | None, requests: list[ScoreRequest]) -> list[ScoreResult]:
        handle = self._rules if backend is None else self._reward_models.get(backend)
        if handle is None:
            reason = f"no reward model for {backend} is deployed"
            return [unjudged(r, ScoreStatus.UNAVAILABLE, reason, self._config) for r in requests]
        timeout_s = self._config.request_deadline_s + self._config.math_deadline_s + _MARGIN_S
        try:
            return list(await asyncio.wait_for(handle.score.remote(requests), timeout_s))
        except BackPressureError:
            raise
        except TimeoutError:
            reason = f"no answer within {timeout_s:.0f} s"
            return [unjudged(r, ScoreStatus.TIMEOUT, reason, self._config) for r in requests]
        except (RayError, RayServeException) as error:
            # One backend down must not stop the other tasks of the batch.
            logger.warning("backend %s failed: %s", backend or "rules", error)
            reason = f"the worker failed: {type(error).__name__}"
            return [unjudged(r, ScoreStatus.UNAVAILABLE, reason, self._config) for r in requests]

    async def _health(self) -> dict[str, object]:
        """Always 200 while this process answers; says what each reward model reports."""
        models = await asyncio.gather(*(self._describe(handle) for handle in self._reward_models.values()))
        return {"status": "ok", "reward_models": dict(zip(map(str, self._reward_models), models, strict=True))}

    async def _describe(self, handle: DeploymentHandle) -> dict[str, str]:
        try:
            return dict(await asyncio.wait_for(handle.describe.remote(), _DESCRIBE_TIMEOUT_S))
        except (TimeoutError, RayError, RayServeException) as error:
            return {"problem": f"{type(error).__name__}"}

    async def check_health(self) -> None:
        """Raises nothing: answering at all shows that the event loop is free."""


async def _limited_body(http: Request) -> bytes:
    """Read at most the limit, whatever the header claims."""
    body = bytearray()
    async for chunk in http.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise RejectedError(413, f"body has more than {MAX_BODY_BYTES} bytes; send smaller batches")
    return bytes(body)
