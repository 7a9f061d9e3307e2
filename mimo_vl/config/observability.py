"""How a run is watched. None of it affects results."""

from __future__ import annotations

from mimo_vl.config.fields import config, unhashed

# `mimo run` listens on metrics_port, the stages that it starts on the first free one of so many after it.
NUM_STAGE_PORTS = 9
_MAX_PORT = 65_535


@config
class ObservabilityConfig:
    metrics_port: int = unhashed(0)
    """`mimo run` shows Prometheus metrics on this port, its stages on the nine after it; 0 = not at all. Pods always
    show theirs, on the port that MIMO_METRICS_PORT names."""

    def __post_init__(self) -> None:
        last = _MAX_PORT - NUM_STAGE_PORTS
        if not 0 <= self.metrics_port <= last:
            raise ValueError(f"metrics_port: got {self.metrics_port}, wanted 0 to {last}")
