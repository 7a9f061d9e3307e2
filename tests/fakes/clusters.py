"""Facts of two clusters for builders: a development cluster (tiny) and GPU nodes with RDMA and a queue (7b)."""

from __future__ import annotations

from typing import Any

from operators.mimo_pipeline.api import (
    JobWorkload,
    MimoPipelineSpec,
    PodSettings,
    PytorchWorkload,
    RayGroup,
    RayWorkload,
    StageSpec,
)
from operators.mimo_pipeline.builders.cluster_facts import ClusterFacts
from operators.mimo_pipeline.cluster_settings import ClusterSettings
from operators.mimo_pipeline.naming import config_map_name, run_id
from operators.mimo_pipeline.plan import Create, InputArtifact

_UID = "0123abcd-0000-4000-8000-000000000000"

_TINY: dict[str, Any] = {
    "images": {
        "trainer": {"reference": "registry.local/base:dev", "pullPolicy": "Never"},
        "rollout": {"reference": "registry.local/base:dev", "pullPolicy": "Never"},
    },
    "serviceAccounts": {"trainer": "mimo-trainer", "rayHead": "mimo-ray-head", "rayWorker": "mimo-ray-worker"},
    "store": {"uri": "s3://mimo", "endpoint": "mimo-minio:9000", "secure": False, "secret": "mimo-store"},
    "trackingUri": "http://mimo-mlflow:5000",
    "environment": {"claim": "mimo-environment", "path": "/var/lib/mimo-devcluster/env"},
    "pods": {
        "job": {"requests": {"cpu": "100m", "memory": "512Mi"}, "limits": {"memory": "3Gi"}},
        "pytorch": {
            "requests": {"cpu": "100m", "memory": "512Mi"},
            "limits": {"memory": "3Gi"},
            "shmSize": "256Mi",
            "env": {"OMP_NUM_THREADS": "1"},
        },
        "rayHead": {"requests": {"cpu": "100m", "memory": "512Mi"}, "limits": {"memory": "3Gi"}},
        "rayTrainer": {"requests": {"cpu": "50m", "memory": "512Mi"}, "limits": {"memory": "3Gi"}},
        "rayRollout": {"requests": {"cpu": "50m", "memory": "512Mi"}, "limits": {"memory": "3Gi"}},
        "rayReward": {"requests": {"cpu": "50m", "memory": "512Mi"}, "limits": {"memory": "3Gi"}},
    },
}

_GPU_NODE = {"cpu": "96", "memory": "1Ti", "nvidia.com/gpu": "8", "rdma/hca": "8"}
_GPU_POD = {
    "requests": _GPU_NODE,
    "limits": _GPU_NODE,
    "shmSize": "64Gi",
    "scratchSize": "2Ti",
    "terminationGracePeriodSeconds": 900,
    "topologyKey": "topology.kubernetes.io/rack",
    "priorityClassName": "training",
    "nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"},
    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
    "env": {"NCCL_IB_HCA": "mlx5"},
}
_CPU_POD = {"requests": {"cpu": "16", "memory": "64Gi"}, "limits": {"memory": "64Gi"}}

_LARGE: dict[str, Any] = {
    "images": {
        "trainer": {"reference": "registry.example.com/mimo-trainer@sha256:" + "a" * 64},
        "rollout": {"reference": "registry.example.com/mimo-rollout@sha256:" + "b" * 64},
        "pullSecrets": ["registry"],
    },
    "serviceAccounts": {"trainer": "mimo-trainer", "rayHead": "mimo-ray-head", "rayWorker": "mimo-ray-worker"},
    "store": {
        "uri": "s3://mimo/production",
        "endpoint": "s3.example.com",
        "secret": "mimo-store",
        "caConfigMap": "store-ca",
    },
    "trackingUri": "http://mimo-mlflow:5000",
    "pods": {
        "job": _CPU_POD,
        "pytorch": _GPU_POD,
        "rayHead": _CPU_POD,
        "rayTrainer": _GPU_POD,
        "rayRollout": _GPU_POD,
        "rayReward": _GPU_POD,
    },
}

JOB = StageSpec(name="curate", job=JobWorkload(), depends_on=("base",))
PYTORCH = StageSpec(name="projector-warmup", pytorch=PytorchWorkload(num_nodes=2), depends_on=("base", "curate"))
TRAIN = PYTORCH.model_copy(update={"pytorch": PytorchWorkload(num_nodes=2, backend="trainjob")})
RAY = StageSpec(name="morl", ray=RayWorkload(), depends_on=("long-context-sft", "curate-rl"))

_LARGE_TORCH = PytorchWorkload(num_nodes=4, num_procs_per_node=8)
STAGES: dict[str, dict[str, StageSpec]] = {
    "tiny": {"job": JOB, "pytorchjob": PYTORCH, "trainjob": TRAIN, "rayjob": RAY},
    "mimo_vl_7b": {
        "job": JOB.model_copy(update={"job": JobWorkload(pod=PodSettings(requests={"cpu": "32"}))}),
        "pytorchjob": PYTORCH.model_copy(update={"pytorch": _LARGE_TORCH}),
        "trainjob": PYTORCH.model_copy(update={"pytorch": _LARGE_TORCH.model_copy(update={"backend": "trainjob"})}),
        "rayjob": RAY.model_copy(
            update={"ray": RayWorkload(trainer=RayGroup(replicas=4), rollout=RayGroup(replicas=2))}
        ),
    },
}


def facts_of(profile: str = "tiny", **settings: Any) -> ClusterFacts:
    """`settings` replaces top-level values of the operator's settings."""
    values = {"tiny": _TINY, "mimo_vl_7b": _LARGE}[profile]
    cluster = ClusterSettings.model_validate({**values, **settings})
    return ClusterFacts(
        namespace="train",
        pipeline="demo",
        uid=_UID,
        run_id=run_id("train", "demo", _UID),
        code_digest="sha256:code",
        config_map=config_map_name("demo", _UID),
        store=cluster.store,
        tracking_uri=cluster.tracking_uri,
        settings=cluster,
        queue_name="training" if profile == "mimo_vl_7b" else "",
    )


def attempt_of(stage: StageSpec, *, attempt: int = 2, resume_attempt: int | None = 1) -> Create:
    inputs = {name: InputArtifact(uri=f"s3://mimo/{name}", digest=f"sha256:{name}") for name in stage.depends_on}
    return Create(stage=stage.name, attempt=attempt, key="sha256:key", inputs=inputs, resume_attempt=resume_attempt)


def pipeline_of(*stages: StageSpec) -> MimoPipelineSpec:
    return MimoPipelineSpec(profile="tiny", stages=stages)
