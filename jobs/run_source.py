"""What a report needs of a run: its pipeline object and its store, put together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter

from mimo_vl.config.storage import StorageConfig
from mimo_vl.reporting.read import Source
from mimo_vl.reporting.run import Environment, KnownStage, WatchedTimes
from mimo_vl.storage import ArtifactStore, Credentials, open_store, store_for_uri
from operators.mimo_pipeline.api import StageStatus
from operators.mimo_pipeline.local.children import Child, ChildRecords
from operators.mimo_pipeline.local.state import PipelineObject, RunFolder

# The configuration's parts that say where a run was, not what it did.
PLACES = ("storage", "tracking")


def storage_config(pipeline: PipelineObject) -> StorageConfig:
    """As frozen at the start; the default of one machine before that."""
    runtime = pipeline.status.runtime
    section = runtime.config.get("storage") if runtime else None
    return TypeAdapter(StorageConfig).validate_python(section or {})


def tracking_uri(pipeline: PipelineObject) -> str:
    """Of the MLflow server that its stages send to; "" = none, or one of this machine."""
    section = frozen_config(pipeline).get("tracking")
    return str(section.get("uri", "")) if isinstance(section, dict) else ""


def frozen_config(pipeline: PipelineObject) -> dict[str, Any]:
    runtime = pipeline.status.runtime
    return dict(runtime.config) if runtime else {}


def local_source(folder: RunFolder, pipeline: PipelineObject) -> Source:
    """`pipeline`: as the folder keeps it. The controllers of this folder's runs wrote down when attempts ran."""
    storage = storage_config(pipeline)
    store = open_store(storage, default_root=folder.store_path)

    def watched(run_id: str, stage: str, attempt: int) -> WatchedTimes:
        child = ChildRecords(folder.children_path(run_id.rpartition("/")[2])).find(stage, attempt)
        return WatchedTimes() if child is None else _times(child)

    return replace(build_source(pipeline, store, storage), watched=watched)


def _times(child: Child) -> WatchedTimes:
    return WatchedTimes(
        created_at=datetime.fromtimestamp(child.created_at_s, UTC) if child.created_at_s else None,
        ended_at=datetime.fromtimestamp(child.ended_at_s, UTC) if child.ended_at_s is not None else None,
    )


def build_source(
    pipeline: PipelineObject,
    store: ArtifactStore,
    storage: StorageConfig,
    credentials: Credentials | None = None,
) -> Source:
    """`storage`, `credentials`: how artifacts of other runs, in the same server, are opened."""
    status, runtime = pipeline.status, pipeline.status.runtime
    needs = {stage.name: stage.depends_on for stage in pipeline.spec.stages}
    known = {stage.name: _known(stage, needs.get(stage.name, ())) for stage in status.stages}
    return Source(
        store=store,
        run_id=pipeline.run_id,
        open_store=lambda uri: store_for_uri(uri, storage, credentials),
        known=[known.get(name, KnownStage(name=name, depends_on=needs[name], state="Pending")) for name in needs],
        title=f"MiMo-VL, run {pipeline.metadata.name}",
        phase=str(status.phase),
        message=status.message,
        profile=pipeline.spec.profile,
        started_at=status.started_at,
        finished_at=status.finished_at,
        tracking_url=status.mlflow,
        environment=Environment(
            config=frozen_config(pipeline),
            code_digest=runtime.code_digest if runtime else "",
            images=_images(runtime.image_digests if runtime else {}),
        ),
    )


def _known(stage: StageStatus, depends_on: tuple[str, ...]) -> KnownStage:
    progress = stage.progress
    return KnownStage(
        name=stage.name,
        depends_on=depends_on,
        state=str(stage.state),
        attempt=stage.attempt,
        reason=stage.reason,
        message=stage.message,
        output_uri=stage.output_uri,
        reused=stage.reused,
        progress=f"{progress.step}/{progress.total or '?'} {progress.unit}" if progress else "",
    )


def _images(digests: Mapping[str, str]) -> dict[str, str]:
    return {name: str(reference) for name, reference in digests.items()}
