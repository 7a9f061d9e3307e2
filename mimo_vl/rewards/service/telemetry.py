"""Prometheus metrics of the reward service: how many, how fast, which verdicts, which values, how long the queue."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, generate_latest

from mimo_vl.observability import metrics
from mimo_vl.observability.prometheus import Instruments
from mimo_vl.schema.reward import ScoreRequest, ScoreResult, ScoreStatus

# From a rule (below a millisecond) to a reward model on a long answer and the deadlines.
_LATENCY_BUCKETS_S = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


class Telemetry:
    """One per ingress process, with a registry of its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        make = Instruments(self._registry)
        self._results = make.counter(metrics.SCORE_RESULTS)
        self._nulls = make.counter(metrics.SCORE_NULLS)
        self._timeouts = make.counter(metrics.SCORE_TIMEOUTS)
        self._rewards = make.histogram(metrics.SCORE_VALUE, [i / 10 for i in range(11)])
        self._latency = make.histogram(metrics.SCORE_LATENCY, _LATENCY_BUCKETS_S)
        self._seconds = make.histogram(metrics.SCORE_BATCH_TIME, _LATENCY_BUCKETS_S)
        self._queue = make.gauge(metrics.SCORE_QUEUE)
        self._rejected = make.counter(metrics.SCORE_REJECTED)

    @contextmanager
    def queued(self, num_requests: int) -> Iterator[None]:
        """While these are waiting for their workers or with them."""
        self._queue.inc(num_requests)
        try:
            yield
        finally:
            self._queue.dec(num_requests)

    def observe(self, requests: Sequence[ScoreRequest], results: Sequence[ScoreResult], seconds: float) -> None:
        self._seconds.observe(seconds)
        for request, result in zip(requests, results, strict=True):
            task = request.task
            self._results.labels(task, result.status).inc()
            self._latency.labels(task).observe(result.latency_ms / 1000)
            # inc(0): a task without trouble shows 0, not nothing.
            self._nulls.labels(task).inc(result.reward is None)
            self._timeouts.labels(task).inc(result.status is ScoreStatus.TIMEOUT)
            if result.reward is not None:
                self._rewards.labels(task).observe(result.reward)

    def reject(self, status: int) -> None:
        self._rejected.labels(str(status)).inc()

    def render(self) -> bytes:
        return generate_latest(self._registry)
