"""What the operator counts about itself, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from operators.mimo_pipeline.api import Phase


class OperatorMetrics:
    """One instance per process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.reconciles = self._counter("mimo_operator_reconciles", "Rounds over pipelines, failed ones included")
        self.conflicts = self._counter("mimo_operator_conflicts", "Rounds ended by a newer version of the pipeline")
        self.errors = Counter("mimo_operator_errors", "Rounds that failed", ["kind"], registry=self.registry)
        self.duration = Histogram(
            "mimo_operator_reconcile_duration_seconds",
            "Wall time of a round",
            buckets=(0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0),
            registry=self.registry,
        )
        self.queue_length = self._gauge("mimo_operator_queue_length", "Pipelines that wait for a worker or their time")
        self.is_leader = self._gauge("mimo_operator_leader", "1 in the replica that works")
        self.pipelines = Gauge("mimo_operator_pipelines", "Pipelines by phase", ["phase"], registry=self.registry)
        self._watch_age = self._gauge("mimo_operator_last_watch_event_age_seconds", "Time since the last watch event")
        self._phases: dict[tuple[str, str], str] = {}

    def set_phase(self, namespace: str, name: str, phase: str | None) -> None:
        """None: the pipeline is gone."""
        if phase is None:
            self._phases.pop((namespace, name), None)
        else:
            self._phases[namespace, name] = phase
        phases = list(self._phases.values())
        for known in Phase:
            self.pipelines.labels(phase=known.value).set(phases.count(known.value))

    def watch_age_from(self, age_s: Callable[[], float]) -> None:
        self._watch_age.set_function(age_s)

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(name, text, registry=self.registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, registry=self.registry)
