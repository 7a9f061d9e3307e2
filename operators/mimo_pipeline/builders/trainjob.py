"""A stage of torch.distributed ranks as a Kubeflow Trainer v2 TrainJob, for clusters without the training-operator.

The ClusterTrainingRuntime `mimo-torch` holds what a TrainJob may not say: restart policy, priority class and that no
token is mounted. Everything else is patched onto it, under our own manager name.
"""

from __future__ import annotations

from typing import Any

from operators.mimo_pipeline.api import PytorchWorkload, StageSpec
from operators.mimo_pipeline.builders.cluster_facts import ClusterFacts
from operators.mimo_pipeline.builders.container import SECURITY_CONTEXT, launch_command, resources, stage_env
from operators.mimo_pipeline.builders.metadata import leaf_metadata, pod_metadata
from operators.mimo_pipeline.builders.pod import placement, pull_secrets, security_context, service_account, with_rights
from operators.mimo_pipeline.builders.pod_settings import PodKind, grace_period_s, settings_of
from operators.mimo_pipeline.builders.volumes import mounts, stage_volumes, volumes
from operators.mimo_pipeline.plan import Create

_RUNTIME = "mimo-torch"
_MANAGER = "mimo.dev/operator"
# Name of the replicated job and of its container in every torch runtime.
_NODE = "node"


def build_trainjob(create: Create, stage: StageSpec, facts: ClusterFacts) -> dict[str, Any]:
    workload = stage.pytorch or PytorchWorkload()
    settings = settings_of(PodKind.PYTORCH, workload.pod, facts.settings.pods, f"stages[{stage.name}].pytorch.pod")
    mounted = stage_volumes(settings, facts)
    container = {"name": _NODE, "volumeMounts": mounts(mounted), "securityContext": dict(SECURITY_CONTEXT)}
    pod = {
        "serviceAccountName": service_account(PodKind.PYTORCH, facts),
        "securityContext": security_context(facts),
        "terminationGracePeriodSeconds": grace_period_s(settings),
        **placement(settings, create, facts),
        "imagePullSecrets": pull_secrets(facts),
        "volumes": volumes(mounted),
        # The environment of this container is the trainer's, below.
        "containers": [with_rights(container, settings, facts)],
    }
    template = {
        "metadata": pod_metadata(PodKind.PYTORCH, create, facts),
        "spec": {name: value for name, value in pod.items() if value != []},
    }
    return {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": leaf_metadata(create, facts),
        "spec": {
            "runtimeRef": {"apiGroup": "trainer.kubeflow.org", "kind": "ClusterTrainingRuntime", "name": _RUNTIME},
            "trainer": {
                "image": facts.settings.images.trainer.reference,
                "command": launch_command(stage.name, num_procs=workload.num_procs_per_node),
                "env": stage_env(create, settings, facts, facts.settings.images.trainer),
                "numNodes": workload.num_nodes,
                "numProcPerNode": workload.num_procs_per_node,
                "resourcesPerNode": resources(settings),
            },
            "runtimePatches": [{"manager": _MANAGER, "trainingRuntimeSpec": _of_every_pod(template)}],
        },
    }


def _of_every_pod(template: dict[str, Any]) -> dict[str, Any]:
    job = {"name": _NODE, "template": {"spec": {"template": template}}}
    return {"template": {"spec": {"replicatedJobs": [job]}}}
