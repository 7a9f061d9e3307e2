"""How is a pipeline of the cluster shown to Prometheus: its status, the GPUs it asks for, what its stages left?"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from mimo_vl.errors import ConfigError
from mimo_vl.storage.store import ArtifactStore
from operators.mimo_pipeline.api import MimoPipelineStatus, PipelineRuntime, StageSpec
from operators.mimo_pipeline.builders.cluster_facts import ClusterFacts
from operators.mimo_pipeline.builders.leaf import build_leaf
from operators.mimo_pipeline.builders.pod_groups import pod_groups
from operators.mimo_pipeline.cluster_settings import ClusterSettings
from operators.mimo_pipeline.kubernetes.compose_runtime import cluster_facts
from operators.mimo_pipeline.kubernetes.pipelines import ClusterPipeline
from operators.mimo_pipeline.last_values import ManifestValues
from operators.mimo_pipeline.pipeline_metrics import ShownPipeline
from operators.mimo_pipeline.plan import Create


class PipelineViewer:
    """Remembers, by pipeline, what does not change: requested GPUs and the metrics of manifests."""

    def __init__(self, settings: ClusterSettings) -> None:
        self._settings = settings
        self._known: dict[tuple[str, str], tuple[str, Mapping[str, int], ManifestValues]] = {}

    def view(
        self, pipeline: ClusterPipeline, status: MimoPipelineStatus, store: ArtifactStore, now: datetime
    ) -> ShownPipeline:
        name = (pipeline.namespace, pipeline.name)
        if name not in self._known or self._known[name][0] != pipeline.uid:
            facts = cluster_facts(pipeline, status.runtime or PipelineRuntime(), self._settings)
            requested = {stage.name: _num_gpus(stage, facts) for stage in pipeline.spec.stages}
            self._known[name] = (pipeline.uid, requested, ManifestValues(store))
        _, gpus, values = self._known[name]
        return ShownPipeline(
            namespace=pipeline.namespace,
            name=pipeline.name,
            status=status,
            seen_at=now,
            num_gpus=gpus,
            last_values=values.of(status.stages),
            ttl_s=pipeline.spec.ttl_seconds_after_finished,
        )

    def forget(self, namespace: str, name: str) -> None:
        self._known.pop((namespace, name), None)


def _num_gpus(stage: StageSpec, facts: ClusterFacts) -> int:
    """Of all pods of an attempt, as they will be rendered."""
    try:
        leaf = build_leaf(Create(stage=stage.name, attempt=1, key="", inputs={}), stage, facts)
    except ConfigError:
        # The pipeline's conditions say what is wrong; nothing of this stage will run.
        return 0
    return sum(group.num_gpus for group in pod_groups(leaf))
