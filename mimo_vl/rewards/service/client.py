"""Asks the reward service: batches, retries, deadlines; one result per request, in order. No torch, no ray."""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import tenacity
import urllib3

from mimo_vl.errors import InputError, ServiceUnavailableError
from mimo_vl.rewards.requests import prompt_key
from mimo_vl.schema.reward import ScoreBatchRequest, ScoreBatchResponse, ScoreRequest, ScoreResult
from mimo_vl.vocabulary import RewardTask

logger = logging.getLogger(__name__)

# Time-outs, full queues and restarts; everything else that is no success is the caller's mistake.
TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})


class RewardClient:
    """Thread-safe. The composition of batches depends only on the requests, never on timing."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        batch_size: int = 64,
        max_in_flight: int = 4,
        attempt_timeout_s: float = 120.0,
        deadline_s: float = 600.0,
        expected_versions: dict[RewardTask, str] | None = None,
    ) -> None:
        """`attempt_timeout_s` limits one HTTP call, `deadline_s` all attempts of one batch."""
        if batch_size < 1 or max_in_flight < 1:
            raise ValueError(f"batch_size is {batch_size} and max_in_flight {max_in_flight}; wanted at least 1 each")
        self._url = url.rstrip("/") + "/v1/score"
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._batch_size = batch_size
        self._max_in_flight = max_in_flight
        self._deadline_s = deadline_s
        self._expected_versions = dict(expected_versions or {})
        timeout = urllib3.Timeout(connect=10.0, read=attempt_timeout_s)
        self._http = urllib3.PoolManager(maxsize=max_in_flight, timeout=timeout, retries=False)

    def score(self, requests: Sequence[ScoreRequest]) -> list[ScoreResult]:
        """One result per request, in order. Repeated ids of equal requests are scored once.

        Raises:
            InputError: the service refuses the requests (401, 409, 413, 422, ...), or an id names two of them.
            ServiceUnavailableError: no answer within the deadline.
        """
        distinct: dict[str, ScoreRequest] = {}
        for request in requests:
            if distinct.setdefault(request.id, request) != request:
                raise InputError(f"id {request.id!r} names two different requests; make ids unique within a call")
        batches = split_batches(list(distinct.values()), self._batch_size)
        with ThreadPoolExecutor(max_workers=self._max_in_flight) as threads:
            answers = list(threads.map(self._score_batch, batches))
        by_id = {result.id: result for answer in answers for result in answer}
        return [by_id[request.id] for request in requests]

    def _score_batch(self, batch: list[ScoreRequest]) -> list[ScoreResult]:
        body = ScoreBatchRequest(requests=tuple(batch), expected_versions=self._expected_versions).to_json()
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(ServiceUnavailableError),
            wait=tenacity.wait_exponential(multiplier=0.2, max=10.0) + tenacity.wait_random(0.0, 0.2),
            stop=tenacity.stop_after_delay(self._deadline_s),
            reraise=True,
        )
        results = list(retrying(self._post, body).results)
        if [r.id for r in results] != [r.id for r in batch]:
            raise InputError(f"{self._url}: {len(results)} results do not answer the {len(batch)} requests in order")
        return results

    def _post(self, body: bytes) -> ScoreBatchResponse:
        try:
            response = self._http.request("POST", self._url, body=body, headers=self._headers)
        except urllib3.exceptions.HTTPError as error:
            raise ServiceUnavailableError(f"{self._url}: {type(error).__name__}: {error}; is it running?") from error
        if response.status == 200:
            return ScoreBatchResponse.from_json(response.data)
        message = f"{self._url}: HTTP {response.status}: {_error_text(response.data)}"
        if response.status in TRANSIENT:
            logger.warning("reward service: %s", message)
            raise ServiceUnavailableError(message)
        raise InputError(message)


def _error_text(data: bytes) -> str:
    try:
        return str(json.loads(data)["error"])
    except (ValueError, KeyError, TypeError):
        return data[:200].decode(errors="replace")


def split_batches(requests: Sequence[ScoreRequest], batch_size: int) -> list[list[ScoreRequest]]:
    """Consecutive requests of one prompt stay in one batch (ranks are taken there), unless they alone exceed it."""
    batches: list[list[ScoreRequest]] = []
    for _, run in itertools.groupby(requests, key=prompt_key):
        group = list(run)
        if not batches or len(batches[-1]) + len(group) > batch_size:
            batches.append([])
        for request in group:
            if len(batches[-1]) == batch_size:
                batches.append([])
            batches[-1].append(request)
    return batches
