"""Prometheus metrics of the reward service: how many, how fast, which verdicts, which values."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from mimo_vl.schema.reward import ScoreRequest, ScoreResult

RESULTS_TOTAL = "mimo_reward_results"
REWARD_VALUE = "mimo_reward_value"
BATCH_SECONDS = "mimo_reward_batch_seconds"
REJECTED_TOTAL = "mimo_reward_rejected_requests"


class Telemetry:
    """One per ingress process, with a registry of its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._results = Counter(RESULTS_TOTAL, "Scored completions", ["task", "status"], registry=self._registry)
        self._rewards = Histogram(
            REWARD_VALUE,
            "Rewards given",
            ["task"],
            buckets=[i / 10 for i in range(11)],
            registry=self._registry,
        )
        self._seconds = Histogram(BATCH_SECONDS, "Time to answer one batch", registry=self._registry)
        self._rejected = Counter(REJECTED_TOTAL, "Calls answered with 4xx or 5xx", ["code"], registry=self._registry)

    def observe(self, requests: Sequence[ScoreRequest], results: Sequence[ScoreResult], seconds: float) -> None:
        self._seconds.observe(seconds)
        for request, result in zip(requests, results, strict=True):
            self._results.labels(request.task, result.status).inc()
            if result.reward is not None:
                self._rewards.labels(request.task).observe(result.reward)

    def reject(self, status: int) -> None:
        self._rejected.labels(str(status)).inc()

    def render(self) -> bytes:
        return generate_latest(self._registry)
