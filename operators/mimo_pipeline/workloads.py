"""What runs a stage on a cluster: a Job, a PyTorchJob or TrainJob, or a RayJob, and what may be said about its pods."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from operators.mimo_pipeline.api_model import (
    ApiModel,
    LabelKey,
    LabelValue,
    ObjectName,
    Quantity,
    ResourceName,
    TuningVariable,
)


class StageKind(StrEnum):
    """How a stage runs on a cluster; on one machine all are process groups of the launcher."""

    JOB = "job"
    PYTORCH = "pytorch"
    RAY = "ray"


class Toleration(ApiModel):
    key: ObjectName = ""
    """Key of the taint; empty with Exists = every taint."""
    operator: Literal["Exists", "Equal"] = "Equal"
    """Exists ignores the value."""
    value: str = Field(default="", max_length=63)
    """Value of the taint."""
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = ""
    """Effect of the taint; empty = every effect."""


class PodSettings(ApiModel):
    """What a user may say about the pods of a stage. Typed fields only: nothing here can raise a pod's rights.

    What is not set comes from the operator's settings for this kind of pod.
    """

    requests: dict[ResourceName, Quantity] = Field(default_factory=dict, max_length=16)
    """Resources that the scheduler reserves."""
    limits: dict[ResourceName, Quantity] = Field(default_factory=dict, max_length=16)
    """Resources that are never passed."""
    node_selector: dict[LabelKey, LabelValue] = Field(default_factory=dict, max_length=16)
    """Labels of the nodes that it may run on."""
    tolerations: tuple[Toleration, ...] = Field(default=(), max_length=16)
    """Taints that it tolerates."""
    priority_class_name: ObjectName = ""
    """PriorityClass of the pods."""
    topology_key: ObjectName = ""
    """Node label; pods of one attempt are kept in one domain of it, such as a rack, where possible."""
    shm_size: Quantity | None = None
    """Memory emptyDir at /dev/shm; counted in the memory limit."""
    scratch_size: Quantity | None = None
    """Limit of the emptyDir that holds checkpoints and downloaded inputs while the pod lives."""
    termination_grace_period_seconds: int | None = Field(default=None, ge=1, le=86_400)
    """At least the time that saving a checkpoint takes."""
    env: dict[TuningVariable, Annotated[str, Field(max_length=1024)]] = Field(default_factory=dict, max_length=64)
    """Tuning of communication and threads (NCCL_*, GLOO_*, UCX_*, FI_*, OMP_*, TORCH_*, CUDA_*, RAY_*)."""


class JobWorkload(ApiModel):
    """One pod: a batch Job."""

    pod: PodSettings = Field(default_factory=PodSettings)


class PytorchWorkload(ApiModel):
    """Ranks of torch.distributed: numNodes pods with numProcsPerNode ranks each."""

    num_nodes: int = Field(default=1, ge=1, le=4096)
    """Pods; each has a node's share of the ranks."""
    num_procs_per_node: int = Field(default=1, ge=1, le=64)
    """numNodes x numProcsPerNode must be parallelism.num_ranks of the stage's configuration."""
    backend: Literal["pytorchjob", "trainjob"] = "pytorchjob"
    """Kind of object: a PyTorchJob of the training-operator, or a TrainJob of Trainer v2."""
    pod: PodSettings = Field(default_factory=PodSettings)


class RayGroup(ApiModel):
    replicas: int = Field(default=1, ge=1, le=4096)
    """Pods."""
    pod: PodSettings = Field(default_factory=PodSettings)


class RayWorkload(ApiModel):
    """A RayJob: a head with the driver, and three worker groups."""

    head: PodSettings = Field(default_factory=PodSettings)
    trainer: RayGroup = Field(default_factory=RayGroup)
    """Workers that update the policy."""
    rollout: RayGroup = Field(default_factory=RayGroup)
    """Workers that generate."""
    reward: RayGroup = Field(default_factory=RayGroup)
    """Workers that score."""
