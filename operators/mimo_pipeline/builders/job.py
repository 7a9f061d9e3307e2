"""A stage of one process as a batch Job: one pod, once."""

from __future__ import annotations

from typing import Any

from operators.mimo_pipeline.api import JobWorkload, StageSpec
from operators.mimo_pipeline.builders.cluster_facts import ClusterFacts
from operators.mimo_pipeline.builders.container import build_container, launch_command, stage_env
from operators.mimo_pipeline.builders.metadata import leaf_metadata
from operators.mimo_pipeline.builders.pod import never_restarted, pod_template
from operators.mimo_pipeline.builders.pod_settings import PodKind, settings_of
from operators.mimo_pipeline.builders.volumes import stage_volumes
from operators.mimo_pipeline.plan import Create

_CONTAINER = "stage"


def build_job(create: Create, stage: StageSpec, facts: ClusterFacts) -> dict[str, Any]:
    workload = stage.job or JobWorkload()
    settings = settings_of(PodKind.JOB, workload.pod, facts.settings.pods, f"stages[{stage.name}].job.pod")
    mounted = stage_volumes(settings, facts)
    container = build_container(
        _CONTAINER,
        facts.settings.images.trainer,
        settings,
        env=stage_env(create, settings, facts, facts.settings.images.trainer),
        mounted=mounted,
        command=launch_command(stage.name),
    )
    template = pod_template(PodKind.JOB, container, settings=settings, mounted=mounted, create=create, facts=facts)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": leaf_metadata(create, facts),
        "spec": {
            "parallelism": 1,
            "completions": 1,
            "backoffLimit": 0,
            # Not while the former pod is still terminating: it may be saving.
            "podReplacementPolicy": "Failed",
            "template": never_restarted(template),
        },
    }
