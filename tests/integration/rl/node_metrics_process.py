"""Joins a Ray cluster, hears of its other nodes for a while, and prints what it heard as JSON."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping

from jobs.runtime import set_ray_environment

_DEADLINE_S = 240.0
_GONE_WITHIN_S = 30.0


def main(address: str) -> None:
    set_ray_environment()
    import ray

    from mimo_vl.rl.actors.node_metrics import RayNodeProbes
    from mimo_vl.rl.node_metrics import NodeMetricsThread

    ray.init(address=address, log_to_driver=False, logging_level="warning", configure_logging=False)
    deadline_s = time.monotonic() + _DEADLINE_S
    before = ray.available_resources()
    while "rollout" not in before and time.monotonic() < deadline_s:
        time.sleep(0.1)
        before = ray.available_resources()
    heard: list[Mapping[str, float]] = []
    probes = RayNodeProbes()
    thread = NodeMetricsThread(probes, lambda values, _: heard.append(values), interval_s=0.5)
    thread.start()
    while len(heard) < 3 and time.monotonic() < deadline_s:
        time.sleep(0.1)
    during = ray.available_resources()
    actors = [probe.actor for probe in probes._probes.values()]
    thread.stop()
    are_gone = [_is_gone(actor, time.monotonic() + _GONE_WITHIN_S) for actor in actors]
    print(json.dumps({"heard": heard, "before": before, "during": during, "are_gone": are_gone}))  # noqa: T201
    ray.shutdown()


def _is_gone(actor: object, deadline_s: float) -> bool:
    """Waited for: Ray kills in the background, and a call may still overtake it."""
    import ray

    while time.monotonic() < deadline_s:
        try:
            ray.get(actor.sample.remote(), timeout=30)  # type: ignore[attr-defined]
        except ray.exceptions.RayActorError:
            return True
        time.sleep(0.1)
    return False


if __name__ == "__main__":
    main(sys.argv[1])
