"""Settings of two example clusters, for looking at what would be created without having one: CPU nodes, 8-GPU nodes."""

from __future__ import annotations

from typing import Any

from operators.mimo_pipeline.cluster_settings import ClusterSettings

_CPU_POD = {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "6Gi"}}
_CPU_TORCH_POD = {**_CPU_POD, "shmSize": "128Mi", "env": {"OMP_NUM_THREADS": "1"}}
_CPU_PODS = {
    "job": _CPU_POD,
    "pytorch": _CPU_TORCH_POD,
    "rayHead": _CPU_POD,
    "rayTrainer": _CPU_TORCH_POD,
    "rayRollout": _CPU_POD,
    "rayReward": _CPU_POD,
}

_LARGE_CPU_POD = {"requests": {"cpu": "32", "memory": "256Gi"}, "limits": {"memory": "256Gi"}, "scratchSize": "1Ti"}
_GPU = "nvidia.com/gpu"


def _gpu_pod(*, gpus: int, cpus: int, memory: str) -> dict[str, Any]:
    resources = {"cpu": str(cpus), "memory": memory, _GPU: str(gpus)}
    return {
        "requests": resources,
        "limits": {k: v for k, v in resources.items() if k != "cpu"},
        "tolerations": [{"key": _GPU, "operator": "Exists", "effect": "NoSchedule"}],
        "shmSize": "64Gi",
        "scratchSize": "1Ti",
        # A checkpoint of a reward model, which one pod writes, is 101 GiB.
        "terminationGracePeriodSeconds": 900,
    }


_GPU_PODS = {
    "job": _LARGE_CPU_POD,
    "pytorch": _gpu_pod(gpus=8, cpus=96, memory="1Ti"),
    # The driver ends after a whole step of reinforcement learning.
    "rayHead": {**_LARGE_CPU_POD, "terminationGracePeriodSeconds": 2400},
    "rayTrainer": _gpu_pod(gpus=1, cpus=12, memory="128Gi"),
    "rayRollout": _gpu_pod(gpus=1, cpus=12, memory="128Gi"),
    "rayReward": _gpu_pod(gpus=1, cpus=12, memory="128Gi"),
}


def example_settings(*, has_gpus: bool) -> ClusterSettings:
    return ClusterSettings.model_validate(
        {
            "images": {
                "trainer": {"reference": "example.com/mimo-trainer:dev"},
                "rollout": {"reference": "example.com/mimo-rollout:dev"},
            },
            "serviceAccounts": {"trainer": "mimo-trainer", "rayHead": "mimo-ray-head", "rayWorker": "mimo-ray-worker"},
            "store": {"uri": "s3://mimo", "endpoint": "mimo-minio:9000", "secure": False, "secret": "mimo-store"},
            "trackingUri": "http://mimo-mlflow:5000",
            "pods": _GPU_PODS if has_gpus else _CPU_PODS,
        }
    )
