"""Which pods of an attempt have the log that was asked for, and in which order they are shown. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mimo_vl.errors import ConfigError
from operators.mimo_pipeline.api import StageSpec
from operators.mimo_pipeline.naming import labels

_REPLICA_TYPE, _REPLICA_INDEX = "training.kubeflow.org/replica-type", "training.kubeflow.org/replica-index"
_COMPLETION_INDEX = "batch.kubernetes.io/job-completion-index"


def pod_selector(pipeline: str, stage: str, attempt: int) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(labels(pipeline, stage, attempt).items()))


def chosen_pods(pods: Sequence[Mapping[str, Any]], stage: StageSpec, rank: int | None) -> list[str]:
    """Names: nodes by their rank, other pods after them by name.

    Args:
        rank: only the pod that runs this rank of torch.distributed; None = all pods.
    """
    ordered = sorted(pods, key=lambda pod: (_node_rank(pod) is None, _node_rank(pod) or 0, pod["metadata"]["name"]))
    if rank is None:
        return [pod["metadata"]["name"] for pod in ordered]
    if stage.pytorch is None:
        raise ConfigError(f"--rank: stage {stage.name} has no ranks (it is a {stage.kind} stage); leave it out")
    if not 0 <= rank < stage.num_procs:
        raise ConfigError(f"--rank: got {rank}, stage {stage.name} has ranks 0 to {stage.num_procs - 1}")
    node = rank // stage.pytorch.num_procs_per_node
    return [pod["metadata"]["name"] for pod in ordered if _node_rank(pod) == node]


def _node_rank(pod: Mapping[str, Any]) -> int | None:
    """None for pods that are no node of torch.distributed."""
    found: Mapping[str, str] = pod["metadata"].get("labels") or {}
    if _REPLICA_INDEX in found:
        # The master is node 0; the first worker has index 0 and is node 1.
        return int(found[_REPLICA_INDEX]) + (0 if found.get(_REPLICA_TYPE, "").lower() == "master" else 1)
    return int(found[_COMPLETION_INDEX]) if _COMPLETION_INDEX in found else None
