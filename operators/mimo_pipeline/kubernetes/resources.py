"""Which API resources the operator touches, and how a missing one is installed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from operators.mimo_pipeline.api import StageKind, StageSpec


@dataclass(frozen=True, kw_only=True)
class Resource:
    group: str
    version: str
    plural: str
    kind: str
    install: str = ""
    """Command that installs it; empty = part of Kubernetes or of this chart."""

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def base_path(self) -> str:
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def path(self, namespace: str, name: str = "", subresource: str = "") -> str:
        parts = [self.base_path, "namespaces", namespace, self.plural, name, subresource]
        return "/".join(part for part in parts if part)


_APPLY = "kubectl apply --server-side -k "
_TRAINING_OPERATOR = f'{_APPLY}"github.com/kubeflow/training-operator.git/manifests/overlays/standalone?ref=v1.9.4"'
_KUBERAY = f'{_APPLY}"github.com/ray-project/kuberay/ray-operator/config/default?ref=v1.6.2"'
_TRAINER = "helm install kubeflow-trainer oci://ghcr.io/kubeflow/charts/kubeflow-trainer --version 2.3.0"

PIPELINES = Resource(group="mimo.dev", version="v1alpha1", plural="mimopipelines", kind="MimoPipeline")
PODS = Resource(group="", version="v1", plural="pods", kind="Pod")
CONFIG_MAPS = Resource(group="", version="v1", plural="configmaps", kind="ConfigMap")
EVENTS = Resource(group="events.k8s.io", version="v1", plural="events", kind="Event")
LEASES = Resource(group="coordination.k8s.io", version="v1", plural="leases", kind="Lease")
JOBS = Resource(group="batch", version="v1", plural="jobs", kind="Job")
PYTORCH_JOBS = Resource(
    group="kubeflow.org", version="v1", plural="pytorchjobs", kind="PyTorchJob", install=_TRAINING_OPERATOR
)
TRAIN_JOBS = Resource(
    group="trainer.kubeflow.org", version="v1alpha1", plural="trainjobs", kind="TrainJob", install=_TRAINER
)
RAY_JOBS = Resource(group="ray.io", version="v1", plural="rayjobs", kind="RayJob", install=_KUBERAY)

LEAVES = (JOBS, PYTORCH_JOBS, TRAIN_JOBS, RAY_JOBS)
LEAF_BY_KIND: Mapping[str, Resource] = {r.kind: r for r in LEAVES}


def leaf_resource(stage: StageSpec) -> Resource:
    """What runs the attempts of this stage."""
    if stage.kind == StageKind.RAY:
        return RAY_JOBS
    if stage.pytorch is not None:
        return TRAIN_JOBS if stage.pytorch.backend == "trainjob" else PYTORCH_JOBS
    return JOBS
