"""The same metrics for a scraper: gauges by declared name, on an HTTP port or as text."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Gauge, generate_latest, start_http_server

from mimo_vl.observability.metrics import all_metrics

# Label that carries the last part of per-type names (train/loss_by_type/ocr -> part="ocr").
_PART = "part"


class PrometheusExporter:
    """Keeps the last value of every metric. Undeclared names are refused, so that dashboards never miss one."""

    def __init__(self, labels: Mapping[str, str] | None = None) -> None:
        self.registry = CollectorRegistry()
        self._labels = dict(labels or {})
        names = [*self._labels, _PART]
        self._gauges = {
            name: Gauge(metric.prometheus_name, f"{metric.help} [{metric.unit}]", names, registry=self.registry)
            for name, metric in all_metrics().items()
        }

    def set_values(self, values: Mapping[str, float]) -> None:
        """Raises KeyError for a name that observability/metrics.py does not declare."""
        for name, value in values.items():
            base, part = (name, "") if name in self._gauges else (name.rpartition("/")[0], name.rpartition("/")[2])
            if base not in self._gauges:
                raise KeyError(f"metric {name!r} is not declared; add it to mimo_vl/observability/metrics.py")
            self._gauges[base].labels(**self._labels, **{_PART: part}).set(value)

    def text(self) -> str:
        return generate_latest(self.registry).decode()

    def serve(self, port: int, host: str = "0.0.0.0") -> None:
        """Answer GET /metrics in a background thread."""
        start_http_server(port, addr=host, registry=self.registry)
