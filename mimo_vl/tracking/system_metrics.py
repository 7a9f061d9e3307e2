"""How busy the node is while a stage runs: CPU, memory, GPUs; sampled in the background."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping

import psutil

from mimo_vl.observability import metrics
from mimo_vl.observability.memory import tree_pss_bytes
from mimo_vl.tracking.gpu_metrics import sample_gpus


def sample_system(node_rank: int = 0, *, root_pid: int | None = None) -> dict[str, float]:
    """By `<metric>/node-<rank>`, of GPUs `<metric>/node-<rank>/gpu-<index>`.

    CPU use is the average since the last call in this process. Process memory is that of `root_pid` (None = this
    process) and its descendants.
    """
    memory = psutil.virtual_memory()
    values = {
        metrics.SYSTEM_CPU_PERCENT: psutil.cpu_percent(interval=None),
        metrics.SYSTEM_MEMORY_PERCENT: memory.percent,
        metrics.SYSTEM_MEMORY_BYTES: float(memory.total - memory.available),
        metrics.PROCESS_PSS_BYTES: float(tree_pss_bytes(root_pid or os.getpid())),
    }
    node = f"node-{node_rank}"
    return {metric.of(node): value for metric, value in values.items()} | sample_gpus(node)


class SystemMetricsThread:
    """Calls `log(values, sample index)` every `interval_s`, or once at the end of a shorter stage; 0 = never."""

    def __init__(
        self, log: Callable[[Mapping[str, float], int], None], *, interval_s: float, node_rank: int = 0
    ) -> None:
        self._log = log
        self._node_rank = node_rank
        self._interval_s = interval_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="system-metrics", daemon=True)

    def start(self) -> None:
        if self._interval_s > 0:
            sample_system()
            self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5.0)

    def _run(self) -> None:
        step = 0
        while not self._stop.wait(self._interval_s):
            self._log(sample_system(self._node_rank), step)
            step += 1
        if step == 0:
            self._log(sample_system(self._node_rank), step)
