"""Which pods of an attempt have the log that was asked for, in which order, and which have begun to write one. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from operators.mimo_pipeline.naming import labels

_REPLICA_TYPE, _REPLICA_INDEX = "training.kubeflow.org/replica-type", "training.kubeflow.org/replica-index"
_COMPLETION_INDEX = "batch.kubernetes.io/job-completion-index"


@dataclass(frozen=True, kw_only=True)
class LogPod:
    name: str
    node: int | None
    """Its rank among the nodes of torch.distributed; None for pods that are no such node."""
    waits: str
    """Why it has written nothing yet; empty = its container has begun."""


def pod_selector(pipeline: str, stage: str, attempt: int) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(labels(pipeline, stage, attempt).items()))


def log_pods(pods: Sequence[Mapping[str, Any]], node: int | None) -> list[LogPod]:
    """Nodes by their rank, other pods after them by name.

    Args:
        node: only the pod of this node; None = all pods.
    """
    found = [LogPod(name=pod["metadata"]["name"], node=_node_rank(pod), waits=_waits(pod)) for pod in pods]
    ordered = sorted(found, key=lambda pod: (pod.node is None, pod.node or 0, pod.name))
    return [pod for pod in ordered if node in (None, pod.node)]


def _node_rank(pod: Mapping[str, Any]) -> int | None:
    found: Mapping[str, str] = pod["metadata"].get("labels") or {}
    if _REPLICA_INDEX in found:
        # The master is node 0; the first worker has index 0 and is node 1.
        return int(found[_REPLICA_INDEX]) + (0 if found.get(_REPLICA_TYPE, "").lower() == "master" else 1)
    return int(found[_COMPLETION_INDEX]) if _COMPLETION_INDEX in found else None


def _waits(pod: Mapping[str, Any]) -> str:
    status = pod.get("status") or {}
    containers = status.get("containerStatuses") or ()
    states = [state for c in containers for state in (c.get("state") or {}, c.get("lastState") or {})]
    if any("running" in state or "terminated" in state for state in states):
        return ""
    phase = status.get("phase") or "Pending"
    reasons = [state["waiting"].get("reason") for state in states if "waiting" in state]
    scheduled = {c["type"]: c for c in status.get("conditions") or ()}.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        reasons.append(scheduled.get("message") or scheduled.get("reason"))
    why = ", ".join(filter(None, [status.get("reason"), *reasons]))
    return f"{phase}: {why}" if why else phase
