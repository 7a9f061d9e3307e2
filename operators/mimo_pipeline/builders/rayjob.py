"""The RL stage as a KubeRay RayJob: a head with the driver, and a group of worker pods for each role.

Each pod offers one piece of the custom resource named like its group, so that actors land where they belong; the head
offers no CPU. One RayJob is one attempt: neither KubeRay nor the submitter may start the driver a second time.
"""

from __future__ import annotations

from typing import Any

from operators.mimo_pipeline.api import PodSettings, RayGroup, RayWorkload, StageSpec
from operators.mimo_pipeline.builders.cluster_facts import ClusterFacts
from operators.mimo_pipeline.builders.container import launch_command
from operators.mimo_pipeline.builders.metadata import leaf_metadata
from operators.mimo_pipeline.builders.pod_settings import PodKind, grace_period_s, num_gpus
from operators.mimo_pipeline.builders.quantity import amount
from operators.mimo_pipeline.builders.ray_pods import (
    head_template,
    object_store_bytes,
    ray_settings,
    submitter_template,
    worker_template,
)
from operators.mimo_pipeline.plan import Create

# With it, and without retries of the submitter, losing the head ends the attempt: KubeRay would run the driver again.
_NO_SECOND_HEAD = {"ray.io/disable-provisioned-head-restart": "true"}
_GROUPS = {"trainer": PodKind.RAY_TRAINER, "rollout": PodKind.RAY_ROLLOUT, "reward": PodKind.RAY_REWARD}


def build_rayjob(create: Create, stage: StageSpec, facts: ClusterFacts) -> dict[str, Any]:
    workload = stage.ray or RayWorkload()
    where = f"stages[{stage.name}].ray"
    head = ray_settings(PodKind.RAY_HEAD, workload.head, facts, f"{where}.head")
    groups = {"trainer": workload.trainer, "rollout": workload.rollout, "reward": workload.reward}
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": leaf_metadata(create, facts, _NO_SECOND_HEAD),
        "spec": {
            # Becomes part of a shell line in the submitter: plain words only.
            "entrypoint": " ".join(launch_command(stage.name)),
            "submissionMode": "K8sJobMode",
            "submitterConfig": {"backoffLimit": 0},
            "submitterPodTemplate": submitter_template(create, facts),
            "backoffLimit": 0,
            "shutdownAfterJobFinishes": True,
            "rayClusterSpec": {
                # Turns token authentication and HTTP probes on.
                "rayVersion": facts.settings.ray_version,
                "authOptions": {"mode": "token"},
                "headGroupSpec": {
                    "rayStartParams": {**_start_params(head), "dashboard-host": "0.0.0.0"},
                    "resources": {"CPU": "0", "head": "1"},
                    "template": head_template(create, head, facts),
                },
                "workerGroupSpecs": [
                    _worker_group(name, group, head, create, facts, f"{where}.{name}.pod")
                    for name, group in groups.items()
                ],
            },
        },
    }


def _worker_group(
    name: str, group: RayGroup, head: PodSettings, create: Create, facts: ClusterFacts, where: str
) -> dict[str, Any]:
    settings = ray_settings(_GROUPS[name], group.pod, facts, where)
    # The driver saves what its actors hold: they must outlive it.
    settings = settings.model_copy(
        update={"termination_grace_period_seconds": max(grace_period_s(settings), grace_period_s(head))}
    )
    return {
        "groupName": name,
        "replicas": group.replicas,
        "minReplicas": group.replicas,
        "maxReplicas": group.replicas,
        "rayStartParams": _start_params(settings),
        "resources": _logical_resources(name, settings),
        "template": worker_template(_GROUPS[name], create, settings, facts),
    }


def _start_params(settings: PodSettings) -> dict[str, str]:
    return {"disable-usage-stats": "true", "object-store-memory": str(object_store_bytes(settings))}


def _logical_resources(group: str, settings: PodSettings) -> dict[str, str]:
    """Strings, and nothing of it in rayStartParams: KubeRay refuses a mixture."""
    cores = amount(settings.limits.get("cpu") or settings.requests.get("cpu") or "1")
    gpus = num_gpus(settings)
    return {"CPU": str(max(1, int(cores))), group: "1", **({"GPU": str(gpus)} if gpus else {})}
