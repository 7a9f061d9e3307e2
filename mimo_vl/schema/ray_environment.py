"""What every process of Ray finds in its environment: on one machine, in each pod of a Ray cluster, in tests.

Ray reads it when it is imported and when it starts a node; so it is set before either.
"""

from __future__ import annotations

from collections.abc import Mapping

RAY_ENVIRONMENT: Mapping[str, str] = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # While a dozen processes load their libraries at once, the HTTP proxy needs more than the 5 s that it is given.
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "120",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "60",
    # Ray would run its workers at nice 15; here they do the stage's work.
    "RAY_worker_niceness": "0",
    # Nobody announces a preemption to Ray; SIGTERM does.
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    # Ray would kill workers when the machine, not the stage, is short of memory; limits are the container's.
    "RAY_memory_monitor_refresh_ms": "0",
}
