"""What a process shows to a scraper: the last value of every metric that it logged, under declared names only.

exporter = PrometheusExporter({"mimo_pipeline": "p", "stage": "morl", "attempt": "1"})
port = serve_metrics(exporter.registry, range(9095, 9100))
exporter.set_values({"train/loss": 2.0, "train/loss_by_type/ocr": 3.0})
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from mimo_vl.observability.metrics import PART_LABEL, STAGE_AREAS, Kind, Metric, all_metrics, declared

logger = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
Values = Callable[[], Mapping[str, float]]


class Sample(NamedTuple):
    metric: Metric
    labels: Mapping[str, str]
    value: float


class PrometheusExporter(Collector):
    """Keeps the last value of every metric of a stage. Undeclared names are refused, so that dashboards miss none."""

    def __init__(self, labels: Mapping[str, str] | None = None, *, sampled: Values | None = None) -> None:
        """`sampled` is asked at each scrape, for what changes by itself, such as memory."""
        self.registry = CollectorRegistry()
        self.registry.register(self)
        self._labels = dict(labels or {})
        self._sampled = sampled
        self._values: dict[tuple[str, str], float] = {}
        self._lock = Lock()

    def set_values(self, values: Mapping[str, float]) -> None:
        """Raises KeyError for a name that observability/metrics.py does not declare."""
        with self._lock:
            for name, value in values.items():
                metric, part = _find(name)
                self._values[metric.name, part] = value

    def last_values(self) -> dict[str, float]:
        """By full name, such as train/loss_by_type/ocr."""
        with self._lock:
            return {f"{name}/{part}" if part else name: value for (name, part), value in sorted(self._values.items())}

    def collect(self) -> Iterator[GaugeMetricFamily]:
        values = {**self.last_values(), **(self._sampled() if self._sampled else {})}
        yield from gauge_families(run_samples(self._labels, values), all_metrics(STAGE_AREAS).values())

    def text(self) -> str:
        return generate_latest(self.registry).decode()


def run_samples(labels: Mapping[str, str], values: Mapping[str, float]) -> list[Sample]:
    """Of logged names; a declared name (train/loss) goes over a plain one of the same metric (loss_last).

    Raises:
        KeyError: as `set_values`.
    """
    found: dict[tuple[str, str], Sample] = {}
    for name in sorted(values, key=lambda name: "/" in name):
        metric, part = _find(name)
        found[metric.name, part] = Sample(metric, {**labels, PART_LABEL: part}, values[name])
    return list(found.values())


def gauge_families(samples: Iterable[Sample], metrics: Iterable[Metric]) -> Iterator[GaugeMetricFamily]:
    """One family for each metric that has samples, in the order of `metrics`; samples of other metrics are left out."""
    by_name: dict[str, list[Sample]] = {}
    for sample in samples:
        by_name.setdefault(sample.metric.name, []).append(sample)
    for metric in metrics:
        own = by_name.get(metric.name)
        if own is None:
            continue
        family = GaugeMetricFamily(metric.prometheus_name, help_text(metric), labels=list(own[0].labels))
        for sample in own:
            family.add_metric(list(sample.labels.values()), sample.value)
        yield family


@dataclass(frozen=True)
class Instruments:
    """Makes counters, gauges and histograms of declared metrics."""

    registry: CollectorRegistry

    def counter(self, metric: Metric) -> Counter:
        return Counter(metric.prometheus_name, help_text(metric), metric.labels, registry=self.registry)

    def gauge(self, metric: Metric) -> Gauge:
        return Gauge(metric.prometheus_name, help_text(metric), metric.labels, registry=self.registry)

    def histogram(self, metric: Metric, buckets: Iterable[float]) -> Histogram:
        name, text = metric.prometheus_name, help_text(metric)
        return Histogram(name, text, metric.labels, registry=self.registry, buckets=tuple(buckets))


def help_text(metric: Metric) -> str:
    return metric.help if metric.kind is Kind.COUNTER else f"{metric.help} [{metric.unit}]"


def serve_metrics(registry: CollectorRegistry, ports: Iterable[int], host: str = LOOPBACK) -> int | None:
    """Answer GET /metrics on the first free port, in a background thread; None if all are taken.

    A process does its work whether or not somebody can watch it.
    """
    tried = []
    for port in ports:
        try:
            start_http_server(port, addr=host, registry=registry)
        except OSError:
            tried.append(port)
            continue
        logger.info("metrics on port=%d", port)
        return port
    logger.warning("metrics are not shown: ports %s are taken; set observability.metrics_port to a free one", tried)
    return None


def _find(name: str) -> tuple[Metric, str]:
    found = declared(name)
    if found is None or found[0].area not in STAGE_AREAS:
        raise KeyError(f"metric {name!r} is not declared; add it to mimo_vl/observability/metrics.py")
    return found
