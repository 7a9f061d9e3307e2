"""What does a stage's process show to Prometheus: what it logs and how far it is, under the labels of its run."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import psutil

from mimo_vl.config.observability import NUM_STAGE_PORTS, ObservabilityConfig
from mimo_vl.errors import ConfigError
from mimo_vl.observability import metrics
from mimo_vl.observability.forwarded import ForwardedMetrics
from mimo_vl.observability.memory import tree_pss_bytes
from mimo_vl.observability.prometheus import LOOPBACK, PrometheusExporter, serve_metrics
from mimo_vl.schema.environment import StageEnvironment
from mimo_vl.tracking import Tracker
from mimo_vl.tracking.gpu_metrics import sample_gpus

logger = logging.getLogger(__name__)

# Set in pods; there a process has its port for itself.
PORT_VARIABLE = "MIMO_METRICS_PORT"
# Areas that say how the process does, not what came out: they are left out of the manifest.
_OF_THE_PROCESS = ("stage/", "system/")


@dataclass(kw_only=True)
class StageMetrics:
    """Without labels and port it only keeps the values, for the manifest."""

    labels: Mapping[str, str] = field(default_factory=dict)
    node_rank: int = 0

    def __post_init__(self) -> None:
        self.exporter = PrometheusExporter(self.labels, sampled=NodeSample(self.node_rank) if self.labels else None)
        self._unknown: set[str] = set()

    def record(self, values: Mapping[str, float]) -> None:
        """Shows what has a declared name; a name without one is told once and must not fail the stage."""
        known = {name for name in values if metrics.declared(name) is not None}
        for name in set(values) - known - self._unknown:
            self._unknown.add(name)
            logger.warning("metric %s is not shown: declare it in mimo_vl/observability/metrics.py", name)
        self.exporter.set_values({n: v for n, v in values.items() if n in known and math.isfinite(v)})

    def progress(self, step: int, total: int) -> None:
        now_s = time.time()
        self.exporter.set_values(
            {metrics.STEP.name: step, metrics.NUM_STEPS.name: total, metrics.LAST_STEP_TIME.name: now_s}
        )

    def for_manifest(self) -> dict[str, float]:
        """Last values of what the stage made, for whoever asks after the process has ended."""
        values = self.exporter.last_values()
        return {name: value for name, value in values.items() if not name.startswith(_OF_THE_PROCESS)}

    def forward(self, url: str) -> None:
        """Show the metrics of a server of this stage, too."""
        self.exporter.registry.register(ForwardedMetrics(url, self.labels))


class _MeasuredTracker:
    """A tracker whose metrics are shown, too; all else of it is as it was."""

    def __init__(self, tracker: Tracker, shown: StageMetrics) -> None:
        self._tracker = tracker
        self._shown = shown

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        self._shown.record(metrics)
        self._tracker.log_metrics(metrics, step)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tracker, name)


def measured(tracker: Tracker, shown: StageMetrics) -> Tracker:
    return cast(Tracker, _MeasuredTracker(tracker, shown))


def open_stage_metrics(
    env: StageEnvironment, config: ObservabilityConfig, environ: Mapping[str, str], *, local_rank: int
) -> StageMetrics:
    """Shown by one process of each node, if a port is set."""
    labels = (env.namespace, env.pipeline, str(env.stage), str(env.attempt))
    node_rank = int(environ.get("GROUP_RANK", "0"))
    shown = StageMetrics(labels=dict(zip(metrics.RUN_LABELS, labels, strict=True)), node_rank=node_rank)
    shown.exporter.set_values({metrics.START_TIME.name: psutil.Process().create_time()})
    ports = stage_ports(config, environ)
    if ports and local_rank == 0:
        # In a pod Prometheus comes from outside; on one machine nobody else should.
        host = "0.0.0.0" if environ.get(PORT_VARIABLE) else LOOPBACK
        serve_metrics(shown.exporter.registry, ports, host)
    return shown


def stage_ports(config: ObservabilityConfig, environ: Mapping[str, str]) -> range:
    """Of which the first free one is taken; empty = nothing is shown.

    Raises:
        ConfigError: MIMO_METRICS_PORT is no port.
    """
    given = environ.get(PORT_VARIABLE, "")
    if given:
        if not given.isdecimal() or not 0 < int(given) <= 65_535:
            raise ConfigError(f"{PORT_VARIABLE}: got {given!r}, wanted a port number")
        return range(int(given), int(given) + 1)
    if not config.metrics_port:
        return range(0)
    return range(config.metrics_port + 1, config.metrics_port + 1 + NUM_STAGE_PORTS)


class NodeSample:
    """CPU use is the average since the last call; psutil's own is taken, by the tracker's samples."""

    def __init__(self, node_rank: int) -> None:
        self._node = f"node-{node_rank}"
        self._cpu_s = _cpu_seconds()

    def __call__(self) -> dict[str, float]:
        memory, (busy_s, total_s) = psutil.virtual_memory(), _cpu_seconds()
        busy, total = busy_s - self._cpu_s[0], total_s - self._cpu_s[1]
        self._cpu_s = (busy_s, total_s)
        values = {
            metrics.SYSTEM_CPU_PERCENT: 100 * busy / total if total > 0 else 0.0,
            metrics.SYSTEM_MEMORY_PERCENT: memory.percent,
            metrics.SYSTEM_MEMORY_BYTES: float(memory.total - memory.available),
            metrics.PROCESS_PSS_BYTES: float(tree_pss_bytes(psutil.Process().pid)),
        }
        return {metric.of(self._node): value for metric, value in values.items()} | sample_gpus(self._node)


def _cpu_seconds() -> tuple[float, float]:
    """(busy, all) of all cores since the machine started."""
    times = psutil.cpu_times()
    idle_s = times.idle + getattr(times, "iowait", 0.0)
    total_s = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    return total_s - idle_s, total_s
