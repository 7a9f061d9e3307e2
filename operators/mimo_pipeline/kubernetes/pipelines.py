"""A MimoPipeline as the API server gives it, typed; and the conditions that only the cluster knows of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from operators.mimo_pipeline import naming
from operators.mimo_pipeline.api import Condition, MimoPipelineSpec, MimoPipelineStatus
from operators.mimo_pipeline.kubeflow.mirror import Mirrored

# Conditions that are there only while something outside of the pipeline is wrong.
BACKEND_UNAVAILABLE = "BackendUnavailable"
SECRET_MISSING = "SecretMissing"
STORE_UNAVAILABLE = "StoreUnavailable"
LEAF_REFUSED = "JobRefused"
# Of the window, not of the pipeline, which goes on.
KUBEFLOW_UNAVAILABLE = "KubeflowUnavailable"
NOTES = frozenset({BACKEND_UNAVAILABLE, SECRET_MISSING, STORE_UNAVAILABLE, LEAF_REFUSED, KUBEFLOW_UNAVAILABLE})


@dataclass(frozen=True, kw_only=True)
class Note:
    """Something outside of the pipeline that keeps it from going on."""

    type: str
    reason: str
    message: str


@dataclass(frozen=True, kw_only=True)
class StoredPipeline:
    """The object, whatever its spec says."""

    namespace: str
    name: str
    uid: str
    generation: int
    raw: Mapping[str, Any]
    status: MimoPipelineStatus
    """Without notes: what reconcile wrote."""
    full_status: MimoPipelineStatus

    @property
    def run_id(self) -> str:
        return naming.run_id(self.namespace, self.name, self.uid)


@dataclass(frozen=True, kw_only=True)
class ClusterPipeline(StoredPipeline):
    spec: MimoPipelineSpec


def mirrored(pipeline: ClusterPipeline, status: MimoPipelineStatus) -> Mirrored:
    return Mirrored(
        namespace=pipeline.namespace,
        name=pipeline.name,
        run_id=pipeline.run_id,
        labels=pipeline.raw["metadata"].get("labels") or {},
        spec=pipeline.spec,
        status=status,
        is_owed=any(c.type == KUBEFLOW_UNAVAILABLE for c in pipeline.full_status.conditions),
    )


def parse_stored(raw: Mapping[str, Any]) -> StoredPipeline:
    return StoredPipeline(**_common(raw))


def parse_pipeline(raw: Mapping[str, Any]) -> ClusterPipeline:
    """Raises pydantic.ValidationError for a spec that the CRD let through but the types do not."""
    return ClusterPipeline(spec=MimoPipelineSpec.model_validate(raw["spec"]), **_common(raw))


def _common(raw: Mapping[str, Any]) -> dict[str, Any]:
    metadata, full = raw["metadata"], parse_status(raw)
    return {
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        "generation": metadata.get("generation", 1),
        "raw": raw,
        "status": without_notes(full),
        "full_status": full,
    }


def parse_status(raw: Mapping[str, Any]) -> MimoPipelineStatus:
    return MimoPipelineStatus.model_validate(raw.get("status") or {})


def without_notes(status: MimoPipelineStatus) -> MimoPipelineStatus:
    return status.model_copy(update={"conditions": tuple(c for c in status.conditions if c.type not in NOTES)})


def with_notes(
    status: MimoPipelineStatus, notes: Iterable[Note], before: MimoPipelineStatus, generation: int, now: datetime
) -> MimoPipelineStatus:
    """Each type once. A note that was there before keeps its time."""
    since = {c.type: c.last_transition_time for c in before.conditions if c.status == "True"}
    by_type: dict[str, Note] = {}
    for note in notes:
        by_type.setdefault(note.type, note)
    added = tuple(
        Condition(
            type=note.type,
            status="True",
            reason=note.reason,
            message=note.message[:1024],
            observed_generation=generation,
            last_transition_time=since.get(note.type, now),
        )
        for _, note in sorted(by_type.items())
    )
    return status.model_copy(update={"conditions": (*without_notes(status).conditions, *added)})
