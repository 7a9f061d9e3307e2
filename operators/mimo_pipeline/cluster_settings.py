"""What an operator is told about its cluster: images, accounts, defaults of pods, store and tracking of all pipelines.

The chart renders it into one ConfigMap (key operator.yaml); `load_settings` reads it. A pipeline's own values go first.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import Field, ValidationError

from mimo_vl.errors import ConfigError
from operators.mimo_pipeline.api import ApiModel, PodSettings, StoreSettings
from operators.mimo_pipeline.api_model import LabelValue

# Another placeholder would stay in the address.
_LINK = r"^(https?://([^\s{}]|\{namespace\}|\{pipeline\})+)?$"


class Image(ApiModel):
    """`reference`: with registry and tag or digest, as the kubelet pulls it."""

    reference: str = Field(min_length=1)
    pull_policy: str = "IfNotPresent"


class Images(ApiModel):
    """trainer: jobs and training stages. rollout: all Ray pods, the submitter too."""

    trainer: Image
    rollout: Image
    pull_secrets: tuple[str, ...] = ()


class ServiceAccounts(ApiModel):
    """Names; none of them has a token mounted."""

    trainer: str
    ray_head: str
    ray_worker: str


class MountedEnvironment(ApiModel):
    """Development clusters: a Python environment on a read-only claim instead of one inside the image."""

    claim: str
    path: str
    """Where it is mounted: the path it was built at. `<path>/venv/bin` goes first in PATH."""


class PodDefaults(ApiModel):
    """By kind of pod; a stage's own settings go over them field by field."""

    job: PodSettings = Field(default_factory=PodSettings)
    pytorch: PodSettings = Field(default_factory=PodSettings)
    ray_head: PodSettings = Field(default_factory=PodSettings)
    ray_trainer: PodSettings = Field(default_factory=PodSettings)
    ray_rollout: PodSettings = Field(default_factory=PodSettings)
    ray_reward: PodSettings = Field(default_factory=PodSettings)


class WorkloadSettings(ApiModel):
    """What jobs and pods of stages get, images and accounts apart.

    A pipeline keeps that of its start; whatever is added here is frozen with it.
    """

    pods: PodDefaults = Field(default_factory=PodDefaults)
    run_as_user: int = Field(default=1000, ge=1)
    lock_memory: bool = False
    """Pods with GPUs run as root with the one capability IPC_LOCK, which Linux takes from other users. For RDMA drivers
    on nodes that limit locked memory; leaves Pod Security `baseline`, so it needs a privileged namespace."""
    environment: MountedEnvironment | None = None
    ray_version: str = "2.60.0"
    queue_name: LabelValue = ""
    """Kueue LocalQueue, in each namespace, for pipelines that name none; empty = none."""

    def to_frozen(self) -> dict[str, Any]:
        """JSON values of what is declared here, without what a subclass adds."""
        shared = set(WorkloadSettings.model_fields)
        return self.model_dump(mode="json", by_alias=True, exclude_none=True, include=shared)

    def thawed(self, frozen: Mapping[str, Any]) -> Self:
        """The same settings with what `to_frozen` gave; what only a newer version knows is left out."""
        known = WorkloadSettings.model_validate(frozen, extra="ignore")
        return self.model_copy(update={name: getattr(known, name) for name in WorkloadSettings.model_fields})


class KubeflowSettings(ApiModel):
    """Kubeflow Pipelines, where every pipeline that was not made there is shown as a run."""

    endpoint: str = Field(min_length=1)
    """API server, such as http://ml-pipeline.kubeflow.svc:8888"""
    image: str = Field(min_length=1)
    """Of the steps, with registry and tag or digest."""
    experiment: str = Field(default="mimo-vl", min_length=1)
    namespace: str = ""
    """Where the runs are; only in multi-user installations."""
    service_account: str = ""
    """Of the steps; empty = the one that Kubeflow Pipelines gives them."""
    token_file: str = ""
    """Empty = its API asks for no token."""
    ui: str = ""
    """Address of its pages as browsers reach it; empty = runs are named by their id alone."""


class ClusterSettings(WorkloadSettings):
    images: Images
    service_accounts: ServiceAccounts
    store: StoreSettings
    tracking_uri: str = ""
    """MLflow server; empty = metrics are only journalled."""
    node_lost_timeout_s: float = Field(default=300.0, ge=10)
    """Pods on a node that is NotReady for longer count as gone, after their attempt was revoked."""
    resync_interval_s: float = Field(default=120.0, ge=1)
    lease_duration_s: int = Field(default=15, ge=15, le=300)
    """A standby replica begins when the one that works has not been heard of for so long; that one ends at two thirds
    of it. More where the API server is slow."""
    gpu_hour_price: float = Field(default=0.0, ge=0)
    """Of one GPU, in the money of whoever reads the dashboards; 0 = costs are shown as 0."""
    cluster_link: str = Field(default="", pattern=_LINK)
    """Address of a page that shows a pipeline, with {namespace} and {pipeline} in it; empty = there is none."""
    kubeflow: KubeflowSettings | None = None
    """None = pipelines are not shown in Kubeflow Pipelines."""
    pipeline_namespaces: tuple[str, ...] = ()
    """Namespaces whose pipelines this operator runs; empty = its own only."""


def load_settings(path: Path) -> ClusterSettings:
    """Raises ConfigError that lists every wrong field."""
    try:
        return ClusterSettings.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise ConfigError(f"operator settings: no file {path}; the chart mounts it") from error
    except ValidationError as error:
        lines = [f"operator settings: {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise ConfigError("\n".join(lines)) from error


__all__ = [
    "ClusterSettings",
    "Image",
    "Images",
    "KubeflowSettings",
    "MountedEnvironment",
    "PodDefaults",
    "ServiceAccounts",
    "StoreSettings",
    "WorkloadSettings",
    "load_settings",
]
