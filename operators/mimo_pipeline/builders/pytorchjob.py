"""A stage of torch.distributed ranks as a Kubeflow PyTorchJob: a master, and a worker for each further node.

The training-operator tells each pod its node rank and the master's address (PET_*); the launcher makes the ranks.
No pod has a readiness probe: the master's name resolves only when it is ready, and the workers wait for it.
"""

from __future__ import annotations

from typing import Any

from operators.mimo_pipeline.api import PytorchWorkload, StageSpec
from operators.mimo_pipeline.builders.cluster_facts import ClusterFacts
from operators.mimo_pipeline.builders.container import build_container, launch_command, stage_env
from operators.mimo_pipeline.builders.metadata import leaf_metadata
from operators.mimo_pipeline.builders.pod import pod_template
from operators.mimo_pipeline.builders.pod_settings import PodKind, settings_of
from operators.mimo_pipeline.builders.volumes import stage_volumes
from operators.mimo_pipeline.plan import Create

# The operator looks for a container of this name.
_CONTAINER = "pytorch"


def build_pytorchjob(create: Create, stage: StageSpec, facts: ClusterFacts) -> dict[str, Any]:
    # Loads a Kubernetes client: a second that no other user of the builders should wait for.
    from kubeflow.training import models

    workload = stage.pytorch or PytorchWorkload()
    template = _template(create, stage.name, workload, facts)
    replicas = {"Master": 1, "Worker": workload.num_nodes - 1}
    job = models.KubeflowOrgV1PyTorchJob(
        api_version="kubeflow.org/v1",
        kind="PyTorchJob",
        metadata=leaf_metadata(create, facts),
        spec=models.KubeflowOrgV1PyTorchJobSpec(
            # Without it every pod counts its GPUs or, worse, its cores.
            nproc_per_node=str(workload.num_procs_per_node),
            run_policy=models.KubeflowOrgV1RunPolicy(
                backoff_limit=0,
                # Success is the master's: then the others are stopped, and finished pods stay for their logs.
                clean_pod_policy="Running",
            ),
            pytorch_replica_specs={
                role: models.KubeflowOrgV1ReplicaSpec(replicas=number, restart_policy="Never", template=template)
                for role, number in replicas.items()
                if number
            },
        ),
    )
    return dict(_to_dict(job))


def _template(create: Create, stage: str, workload: PytorchWorkload, facts: ClusterFacts) -> dict[str, Any]:
    settings = settings_of(PodKind.PYTORCH, workload.pod, facts.settings.pods, f"stages[{stage}].pytorch.pod")
    mounted = stage_volumes(settings, facts)
    container = build_container(
        _CONTAINER,
        facts.settings.images.trainer,
        settings,
        env=stage_env(create, settings, facts, facts.settings.images.trainer),
        mounted=mounted,
        command=launch_command(stage, num_procs=workload.num_procs_per_node),
    )
    return pod_template(PodKind.PYTORCH, container, settings=settings, mounted=mounted, create=create, facts=facts)


def _to_dict(value: Any) -> Any:
    """JSON names and no None, without the API client that the models bring for it."""
    if hasattr(value, "attribute_map"):
        fields = {json_name: getattr(value, name) for name, json_name in value.attribute_map.items()}
        return {name: _to_dict(field) for name, field in fields.items() if field is not None}
    if isinstance(value, dict):
        return {name: _to_dict(item) for name, item in value.items()}
    return [_to_dict(item) for item in value] if isinstance(value, list) else value
