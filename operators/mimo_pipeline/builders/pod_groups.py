"""Which pods does a rendered job have: how many of each sort, with which requests and limits, and time to end?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from operators.mimo_pipeline.builders.pod_settings import is_gpu
from operators.mimo_pipeline.builders.quantity import amount


@dataclass(frozen=True, kw_only=True)
class PodGroup:
    """`name`: master, worker, head, rollout, ...; requests and limits of one pod; grace_s from SIGTERM to SIGKILL."""

    name: str
    num_pods: int
    grace_s: int
    requests: Mapping[str, str]
    limits: Mapping[str, str]

    @property
    def gpus_per_pod(self) -> int:
        return sum(int(amount(quantity)) for name, quantity in self.limits.items() if is_gpu(name))

    @property
    def num_gpus(self) -> int:
        return self.num_pods * self.gpus_per_pod


def pod_groups(leaf: Mapping[str, Any]) -> list[PodGroup]:
    """Raises KeyError for a kind that no builder makes."""
    return _READERS[leaf["kind"]](leaf["spec"])


def _of_job(spec: Mapping[str, Any]) -> list[PodGroup]:
    return [_group("job", 1, spec["template"])]


def _of_pytorchjob(spec: Mapping[str, Any]) -> list[PodGroup]:
    return [_group(role.lower(), r["replicas"], r["template"]) for role, r in spec["pytorchReplicaSpecs"].items()]


def _of_trainjob(spec: Mapping[str, Any]) -> list[PodGroup]:
    trainer, [patch] = spec["trainer"], spec["runtimePatches"]
    [job] = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    pod = job["template"]["spec"]["template"]["spec"]
    return [_with_resources("node", trainer["numNodes"], trainer["resourcesPerNode"], pod)]


def _of_rayjob(spec: Mapping[str, Any]) -> list[PodGroup]:
    cluster = spec["rayClusterSpec"]
    workers = [_group(g["groupName"], g["replicas"], g["template"]) for g in cluster["workerGroupSpecs"]]
    head = _group("head", 1, cluster["headGroupSpec"]["template"])
    return [_group("submitter", 1, spec["submitterPodTemplate"]), head, *workers]


def _group(name: str, num_pods: int, template: Mapping[str, Any]) -> PodGroup:
    pod = template["spec"]
    return _with_resources(name, num_pods, pod["containers"][0].get("resources") or {}, pod)


def _with_resources(name: str, num_pods: int, resources: Mapping[str, Any], pod: Mapping[str, Any]) -> PodGroup:
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    grace_s = pod["terminationGracePeriodSeconds"]
    return PodGroup(name=name, num_pods=num_pods, grace_s=grace_s, requests=requests, limits=limits)


_READERS = {"Job": _of_job, "PyTorchJob": _of_pytorchjob, "TrainJob": _of_trainjob, "RayJob": _of_rayjob}
