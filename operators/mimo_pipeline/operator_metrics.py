"""What a controller counts about itself, for Prometheus: the operator, and `mimo run` on one machine."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry

from mimo_vl.observability import metrics
from mimo_vl.observability.prometheus import Instruments
from operators.mimo_pipeline.api import Phase
from operators.mimo_pipeline.pipeline_metrics import PipelineMetrics, ShownPipeline

_ROUND_BUCKETS_S = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)


class OperatorMetrics:
    """One instance per process."""

    def __init__(self, *, gpu_hour_price: float = 0.0) -> None:
        self.registry = CollectorRegistry()
        self.shown = PipelineMetrics(gpu_hour_price=gpu_hour_price)
        self.registry.register(self.shown)
        make = Instruments(self.registry)
        self.reconciles = make.counter(metrics.RECONCILES)
        self.conflicts = make.counter(metrics.CONFLICTS)
        self.errors = make.counter(metrics.ERRORS)
        self.duration = make.histogram(metrics.RECONCILE_TIME, _ROUND_BUCKETS_S)
        self.queue_length = make.gauge(metrics.QUEUE_LENGTH)
        self.is_leader = make.gauge(metrics.IS_LEADER)
        self.pipelines = make.gauge(metrics.PIPELINES)
        self._watch_age = make.gauge(metrics.WATCH_AGE)
        self._phases: dict[tuple[str, str], str] = {}

    def update(self, shown: ShownPipeline) -> None:
        """After a round over this pipeline."""
        self.shown.update(shown)
        self._count(shown.namespace, shown.name, str(shown.status.phase))

    def remove(self, namespace: str, name: str) -> None:
        """The pipeline is gone."""
        self.shown.remove(namespace, name)
        self._count(namespace, name, None)

    def _count(self, namespace: str, name: str, phase: str | None) -> None:
        if phase is None:
            self._phases.pop((namespace, name), None)
        else:
            self._phases[namespace, name] = phase
        phases = list(self._phases.values())
        for known in Phase:
            self.pipelines.labels(phase=known.value).set(phases.count(known.value))

    def watch_age_from(self, age_s: Callable[[], float]) -> None:
        self._watch_age.set_function(age_s)
