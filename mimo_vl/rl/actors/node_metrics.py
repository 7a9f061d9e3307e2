"""One light actor on each node of the Ray cluster but this one's, which tells how busy its node is.

It asks for no CPU and is bound to its node, so that it takes the place of nobody.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from mimo_vl.rl.actors.cluster import Group
from mimo_vl.tracking.system_metrics import sample_system

logger = logging.getLogger(__name__)

# Of the actor on one node; then the node goes without.
_MAX_FAILURES = 3


class NodeActor:
    """Samples the processes of Ray on its node: its parent's, that is."""

    def __init__(self, node_rank: int) -> None:
        self._node_rank = node_rank
        # CPU use is that since the call before.
        self.sample()

    def sample(self) -> dict[str, float]:
        return sample_system(self._node_rank, root_pid=os.getppid())


@dataclass
class _Probe:
    rank: int
    actor: Any = None
    asked: Any = None
    """The answer that is awaited; None = it may be asked."""
    num_failures: int = 0


class RayNodeProbes:
    """Nodes are numbered from 1 in the order in which they appear: 0 is that of the driver."""

    def __init__(self) -> None:
        self._probes: dict[str, _Probe] = {}

    def sample(self, timeout_s: float) -> Mapping[str, float]:
        if not ray.is_initialized():
            # It would start a cluster of its own.
            return {}
        own = ray.get_runtime_context().get_node_id()
        self._ask(sorted((n for n in ray.nodes() if n["Alive"] and n["NodeID"] != own), key=_order))
        asked = {probe.asked: probe for probe in self._probes.values() if probe.asked is not None}
        if not asked:
            return {}
        done, _ = ray.wait(list(asked), num_returns=len(asked), timeout=timeout_s)
        values: dict[str, float] = {}
        for ref in done:
            values |= _answer(asked[ref])
        return values

    def stop(self) -> None:
        for probe in self._probes.values():
            if probe.actor is not None and ray.is_initialized():
                ray.kill(probe.actor)

    def _ask(self, nodes: list[dict[str, Any]]) -> None:
        for node in nodes:
            name = node["NodeID"]
            if name not in self._probes:
                self._probes[name] = _Probe(len(self._probes) + 1)
                logger.info("node-%d is %s %s", self._probes[name].rank, _group(node), node["NodeManagerHostname"])
            probe = self._probes[name]
            if probe.actor is None and probe.num_failures < _MAX_FAILURES:
                probe.actor = _start(name, probe.rank)
            if probe.actor is not None and probe.asked is None:
                probe.asked = probe.actor.sample.remote()


def _start(node_id: str, rank: int) -> Any:
    bound = NodeAffinitySchedulingStrategy(node_id, soft=False)
    return ray.remote(num_cpus=0, max_restarts=0, scheduling_strategy=bound)(NodeActor).remote(rank)


def _answer(probe: _Probe) -> dict[str, float]:
    """Empty if the node or the actor is lost; the actor is started anew at the next look."""
    ref, probe.asked = probe.asked, None
    try:
        values: dict[str, float] = ray.get(ref)
    except ray.exceptions.RayError as error:
        ray.kill(probe.actor)
        probe.actor, probe.num_failures = None, probe.num_failures + 1
        logger.info("no system metrics of node-%d: %s", probe.rank, type(error).__name__)
        return {}
    return values


def _group(node: Mapping[str, Any]) -> str:
    return next((str(group) for group in Group if group in node["Resources"]), "other")


def _order(node: Mapping[str, Any]) -> tuple[str, str, str]:
    return _group(node), node["NodeManagerHostname"], node["NodeID"]
