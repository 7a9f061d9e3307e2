"""What all attempts of one pipeline on a cluster share; the builders' only input beside the stage and the attempt."""

from __future__ import annotations

from dataclasses import dataclass

from operators.mimo_pipeline.api import InputSpec
from operators.mimo_pipeline.cluster_settings import ClusterSettings, StoreSettings


@dataclass(frozen=True, kw_only=True)
class ClusterFacts:
    namespace: str
    pipeline: str
    uid: str
    """metadata.uid of the MimoPipeline, for owner references."""
    run_id: str
    code_digest: str
    config_map: str
    """Name of the ConfigMap whose key config.yaml is the composed configuration."""
    store: StoreSettings
    """The pipeline's own store, else that of the settings."""
    tracking_uri: str
    settings: ClusterSettings
    kfp_run: str = ""
    """Of the run in Kubeflow Pipelines that shows the pipeline, as far as there is one now; a tag of the MLflow run."""
    queue_name: str = ""
    """The pipeline's own; empty = that of the settings."""
    inputs: tuple[InputSpec, ...] = ()
    """spec.inputs: an input may lie in a store of its own."""
