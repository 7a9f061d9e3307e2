"""From the spec and the operator's settings to what all attempts of a pipeline share; every problem at once.

Hydra is loaded with the first composition.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mimo_vl.config.storage import StorageConfig
from mimo_vl.errors import ConfigError
from mimo_vl.vocabulary import StageName
from operators.mimo_pipeline.api import MimoPipelineSpec, PipelineRuntime, StoreSettings, TrackingSettings
from operators.mimo_pipeline.builders.cluster_facts import ClusterFacts
from operators.mimo_pipeline.builders.rendered import render_all
from operators.mimo_pipeline.cluster_settings import ClusterSettings, Image
from operators.mimo_pipeline.code_digest import code_digest
from operators.mimo_pipeline.kubeflow.link import run_link
from operators.mimo_pipeline.kubernetes.pipelines import ClusterPipeline
from operators.mimo_pipeline.naming import config_map_name

if TYPE_CHECKING:
    from mimo_vl.config.pipeline import PipelineConfig

# Of one request of the operator; processes use the configuration's own.
_STORE_TIMEOUT_S = 10.0
# A pipeline that waits for its store is looked at again later.
_STORE_OUTAGE_S = 3.0
# Hydra keeps what it composes in a global.
_HYDRA = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class Composed:
    runtime: PipelineRuntime | None
    problems: tuple[str, ...] = ()


def compose_runtime(pipeline: ClusterPipeline, settings: ClusterSettings, source_root: Path) -> Composed:
    """What is frozen into the status at the start; without problems only, and with all of them at once."""
    from pydantic import TypeAdapter

    from mimo_vl.config.pipeline import PipelineConfig, stage_config_digest

    spec, problems = _known_stages(pipeline.spec)
    runtime = PipelineRuntime(
        code_digest=code_digest(source_root),
        image_digests={"trainer": settings.images.trainer.reference, "rollout": settings.images.rollout.reference},
        store=store_settings(spec, settings, None),
        tracking=_tracking(spec, settings),
        workloads=settings.to_frozen(),
    )
    try:
        config = _configuration(pipeline, spec, settings)
    except ConfigError as error:
        problems += str(error).splitlines()
    else:
        problems += _rank_problems(spec, config)
        composed = {
            "config": TypeAdapter(PipelineConfig).dump_python(config, mode="json"),
            "config_digests": {s.name: stage_config_digest(config, StageName(s.name)) for s in spec.stages},
        }
        runtime = runtime.model_copy(update=composed)
    try:
        # What the builders refuse is said now, not when the stage is due days later.
        render_all(spec, cluster_facts(pipeline, runtime, settings), runtime.config)
    except ConfigError as error:
        problems += str(error).splitlines()
    return Composed(runtime=None if problems else runtime, problems=tuple(problems))


def _known_stages(spec: MimoPipelineSpec) -> tuple[MimoPipelineSpec, list[str]]:
    """The spec without stages that there are not, and which those are."""
    known = {str(name) for name in StageName}
    unknown = [s.name for s in spec.stages if s.name not in known]
    kept = spec.model_copy(update={"stages": tuple(s for s in spec.stages if s.name in known)})
    return kept, [f"spec.stages: {unknown} unknown; choose from {sorted(known)}"] if unknown else []


def _configuration(pipeline: ClusterPipeline, spec: MimoPipelineSpec, settings: ClusterSettings) -> PipelineConfig:
    """Raises ConfigError: every wrong key and value, one line each."""
    from mimo_vl.config.compose import compose_values, parse

    with _HYDRA:
        values = compose_values(spec.profile, spec.overrides)
    values["storage"] = {**values["storage"], **_storage_section(store_settings(spec, settings, None))}
    link = values["tracking"].get("cluster_link") or cluster_link(pipeline, settings)
    values["tracking"] = {**values["tracking"], "uri": _tracking(spec, settings).uri, "cluster_link": link}
    return parse(values)


def cluster_facts(pipeline: ClusterPipeline, runtime: PipelineRuntime, settings: ClusterSettings) -> ClusterFacts:
    """With images, pod settings, store and tracking of the start: an upgraded operator changes no running pipeline.

    Accounts and pull secrets are today's: they name objects of the release, which may be others after an upgrade.
    """
    return ClusterFacts(
        namespace=pipeline.namespace,
        pipeline=pipeline.name,
        uid=pipeline.uid,
        run_id=pipeline.run_id,
        code_digest=runtime.code_digest,
        config_map=config_map_name(pipeline.name, pipeline.uid),
        store=store_settings(pipeline.spec, settings, runtime),
        tracking_uri=(runtime.tracking or _tracking(pipeline.spec, settings)).uri,
        settings=_frozen(settings, runtime),
        kfp_run=run_link(settings.kubeflow.ui if settings.kubeflow else "", pipeline.status.kubeflow_run),
        queue_name=pipeline.spec.queue_name,
        inputs=pipeline.spec.inputs,
    )


def cluster_link(pipeline: ClusterPipeline, settings: ClusterSettings) -> str:
    """Address of the pipeline's page in its cluster; "" = it has none."""
    link = settings.cluster_link.replace("{namespace}", pipeline.namespace)
    return link.replace("{pipeline}", pipeline.name)


def store_settings(spec: MimoPipelineSpec, settings: ClusterSettings, frozen: PipelineRuntime | None) -> StoreSettings:
    """That of the start: what was published there is read there. Before it the pipeline's own, else the operator's."""
    return (frozen.store if frozen else None) or spec.storage or settings.store


def _tracking(spec: MimoPipelineSpec, settings: ClusterSettings) -> TrackingSettings:
    return spec.tracking or TrackingSettings(uri=settings.tracking_uri)


def storage_config(store: StoreSettings) -> StorageConfig:
    return StorageConfig(**_storage_section(store), timeout_s=_STORE_TIMEOUT_S, outage_timeout_s=_STORE_OUTAGE_S)


def _storage_section(store: StoreSettings) -> dict[str, Any]:
    return {
        "kind": urlsplit(store.uri).scheme,
        "uri": store.uri,
        "endpoint": store.endpoint,
        "region": store.region,
        "secure": store.secure,
    }


def _rank_problems(spec: MimoPipelineSpec, config: PipelineConfig) -> list[str]:
    """The processes that a stage gets must be the ranks that its configuration divides the work by."""
    found = []
    for section, stages in (("stages", config.stages), ("reward_models", config.reward_models)):
        for stage in spec.stages:
            if stage.name not in stages:
                continue
            wanted = stages[StageName(stage.name)].parallelism.num_ranks
            if stage.num_procs != wanted:
                path = f"{section}.{stage.name}.parallelism.num_ranks"
                found.append(
                    f"spec.stages[{stage.name}].pytorch: numNodes x numProcsPerNode is {stage.num_procs}, but "
                    f"{path} is {wanted}; make them equal, for example by the override {path}={stage.num_procs}"
                )
    return found


def _frozen(settings: ClusterSettings, runtime: PipelineRuntime) -> ClusterSettings:
    def kept(name: str, image: Image) -> Image:
        return image.model_copy(update={"reference": runtime.image_digests.get(name) or image.reference})

    images = settings.images.model_copy(
        update={
            "trainer": kept("trainer", settings.images.trainer),
            "rollout": kept("rollout", settings.images.rollout),
        }
    )
    kept_settings = settings.thawed(runtime.workloads) if runtime.workloads else settings
    return kept_settings.model_copy(update={"images": images})
