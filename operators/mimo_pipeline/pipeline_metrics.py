"""What a controller shows of its pipelines to Prometheus: states, attempts, times, GPUs; and what ended stages left.

A stage's process is gone when it has ended. Its last values lie in the manifest; they are shown from here until the
pipeline's TTL has passed or it is deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Lock

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from mimo_vl.observability import metrics
from mimo_vl.observability.prometheus import Sample, gauge_families, run_samples
from operators.mimo_pipeline.api import TERMINAL_STATES, LastFailure, MimoPipelineStatus, StageState, StageStatus

# Characters of a label: enough for the sentence that people look for; the rest is in the status.
_MAX_MESSAGE = 200
_SHOWN_AREAS = frozenset({"pipeline"}) | metrics.STAGE_AREAS


@dataclass(frozen=True, kw_only=True)
class ShownPipeline:
    """One pipeline as of `seen_at`. `last_values`: stage -> (attempt that made its output, metrics of the manifest)."""

    namespace: str
    name: str
    status: MimoPipelineStatus
    seen_at: datetime
    num_gpus: Mapping[str, int] = field(default_factory=dict)
    last_values: Mapping[str, tuple[int, Mapping[str, float]]] = field(default_factory=dict)
    ttl_s: int | None = None

    def is_over(self, now: datetime) -> bool:
        """The TTL has passed."""
        end = self.status.finished_at
        return self.ttl_s is not None and end is not None and now >= end + timedelta(seconds=self.ttl_s)


class PipelineMetrics(Collector):
    """All pipelines of one controller. Safe to update from several threads."""

    def __init__(self, *, gpu_hour_price: float = 0.0, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._price = gpu_hour_price
        self._now = now
        self._shown: dict[tuple[str, str], ShownPipeline] = {}
        self._queued_s: dict[tuple[str, str, str], float] = {}
        self._lock = Lock()

    def update(self, shown: ShownPipeline) -> None:
        with self._lock:
            before = self._shown.get((shown.namespace, shown.name))
            if before is not None:
                self._add_queue_time(before, shown.seen_at)
            self._shown[shown.namespace, shown.name] = shown

    def remove(self, namespace: str, name: str) -> None:
        with self._lock:
            self._shown.pop((namespace, name), None)
            self._queued_s = {k: v for k, v in self._queued_s.items() if k[:2] != (namespace, name)}

    def describe(self) -> list[GaugeMetricFamily]:
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        with self._lock:
            samples = list(self._samples())
        yield from gauge_families(samples, metrics.all_metrics(_SHOWN_AREAS).values())

    def _add_queue_time(self, before: ShownPipeline, now: datetime) -> None:
        waited_s = max(0.0, (now - before.seen_at).total_seconds())
        for stage in before.status.stages:
            if stage.state is StageState.QUEUED:
                key = (before.namespace, before.name, stage.name)
                self._queued_s[key] = self._queued_s.get(key, 0.0) + waited_s

    def _samples(self) -> Iterator[Sample]:
        now = self._now()
        yield Sample(metrics.GPU_HOUR_PRICE, {}, self._price)
        for _, shown in sorted(self._shown.items()):
            labels = {metrics.NAMESPACE_LABEL: shown.namespace, metrics.PIPELINE_LABEL: shown.name}
            yield Sample(metrics.PIPELINE_PHASE, {**labels, "phase": str(shown.status.phase)}, 1.0)
            for stage in shown.status.stages:
                yield from self._of_stage(shown, stage, {**labels, metrics.STAGE_LABEL: stage.name}, now)
            if not shown.is_over(now):
                yield from _left_behind(shown, labels)

    def _of_stage(
        self, shown: ShownPipeline, stage: StageStatus, labels: dict[str, str], now: datetime
    ) -> Iterator[Sample]:
        gpus = shown.num_gpus.get(stage.name, 0)
        queued_s = self._queued_s.get((shown.namespace, shown.name, stage.name), 0.0)
        yield Sample(metrics.STAGE_STATE, {**labels, "state": str(stage.state), "reason": stage.reason}, 1.0)
        yield Sample(metrics.STAGE_ATTEMPT, labels, stage.attempt)
        yield Sample(metrics.STAGE_FAILURES, labels, stage.failures)
        if stage.last_failure is not None:
            yield Sample(metrics.STAGE_LAST_FAILURE, {**labels, **_why(stage.last_failure)}, 1.0)
        yield Sample(metrics.STAGE_TIME, labels, _lasted_s(stage, now))
        yield Sample(metrics.STAGE_QUEUE_TIME, labels, queued_s)
        yield Sample(metrics.STAGE_GPUS, labels, gpus)
        yield Sample(metrics.GPU_TIME, labels, gpus * _ran_s(stage, now))


def _lasted_s(stage: StageStatus, now: datetime) -> float:
    """A stage whose earlier output was reused took no time."""
    if stage.started_at is None or stage.reused:
        return 0.0
    end = (stage.finished_at or now) if stage.state in TERMINAL_STATES else now
    return max(0.0, (end - stage.started_at).total_seconds())


def _ran_s(stage: StageStatus, now: datetime) -> float:
    """Of all attempts, without queues, pauses and waiting for people."""
    running_s = (now - stage.running_since).total_seconds() if stage.running_since is not None else 0.0
    return stage.running_seconds + max(0.0, running_s)


def shown_message(message: str) -> str:
    """As the label has it."""
    return message if len(message) <= _MAX_MESSAGE else f"{message[: _MAX_MESSAGE - 1]}…"


def _why(failure: LastFailure) -> dict[str, str]:
    words = {"reason": failure.reason, "message": shown_message(failure.message)}
    return {metrics.ATTEMPT_LABEL: str(failure.attempt), **words}


def _left_behind(shown: ShownPipeline, labels: Mapping[str, str]) -> Iterator[Sample]:
    """Of stages that succeeded: the manifest. Of stages that failed: what they last told of their progress."""
    for stage in shown.status.stages:
        attempt, values = shown.last_values.get(stage.name, (stage.attempt, {}))
        if stage.state is StageState.FAILED and stage.progress is not None:
            values = stage.progress.metrics
        known = {name: value for name, value in values.items() if _is_shown(name)}
        own = {**labels, metrics.STAGE_LABEL: stage.name, metrics.ATTEMPT_LABEL: str(attempt)}
        yield from run_samples(own, known)


def _is_shown(name: str) -> bool:
    found = metrics.declared(name)
    return found is not None and found[0].area in metrics.STAGE_AREAS
