"""What a leaf job's own status says: PyTorchJob, TrainJob, RayJob and batch Job in one form. Pure.

A final phase here says nothing about processes: pods may run on or terminate long after it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mimo_vl.errors import EXIT_PERMANENT
from operators.mimo_pipeline.cluster_pods import parse_time
from operators.mimo_pipeline.naming import ANNOTATION_STAGE_KEY, LABEL_ATTEMPT, LABEL_STAGE
from operators.mimo_pipeline.plan import LeafPhase

_QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
_RAY_EXIT_CODE = re.compile(r"exit code (\d{1,3})")
# Condition type -> phase, the final ones first: once true they win over everything older.
_CONDITIONS: Mapping[str, tuple[tuple[str, LeafPhase], ...]] = {
    "PyTorchJob": (
        ("Succeeded", LeafPhase.SUCCEEDED),
        ("Failed", LeafPhase.FAILED),
        ("Suspended", LeafPhase.SUSPENDED),
        ("Running", LeafPhase.RUNNING),
    ),
    "TrainJob": (
        ("Complete", LeafPhase.SUCCEEDED),
        ("Failed", LeafPhase.FAILED),
        ("Suspended", LeafPhase.SUSPENDED),
    ),
    "Job": (
        ("Complete", LeafPhase.SUCCEEDED),
        ("Failed", LeafPhase.FAILED),
        ("Suspended", LeafPhase.SUSPENDED),
    ),
}
_RAY_PHASES: Mapping[str, LeafPhase] = {
    "Running": LeafPhase.RUNNING,
    "Complete": LeafPhase.SUCCEEDED,
    "Failed": LeafPhase.FAILED,
    "ValidationFailed": LeafPhase.FAILED,
    "Suspending": LeafPhase.SUSPENDED,
    "Suspended": LeafPhase.SUSPENDED,
}
_FINAL_PHASES = (LeafPhase.SUCCEEDED, LeafPhase.FAILED)


@dataclass(frozen=True, kw_only=True)
class LeafFacts:
    kind: str
    name: str
    stage: str
    attempt: int
    key: str = ""
    owner_uid: str = ""
    phase: LeafPhase = LeafPhase.STARTING
    is_queued: bool = False
    """Suspended with a queue's name on it: the queue decides when it runs."""
    created_at: datetime | None = None
    deleting_since: datetime | None = None
    ended_at: datetime | None = None
    exit_code: int | None = None
    reason: str = ""
    message: str = ""

    @property
    def is_final(self) -> bool:
        return self.phase in _FINAL_PHASES

    @property
    def is_ray(self) -> bool:
        return self.kind == "RayJob"


def parse_leaf(leaf: Mapping[str, Any]) -> LeafFacts | None:
    """None for an object without our labels."""
    metadata, kind = leaf["metadata"], leaf["kind"]
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    attempt = labels.get(LABEL_ATTEMPT, "")
    if LABEL_STAGE not in labels or not attempt.isdecimal():
        return None
    facts = _ray_status(leaf.get("status") or {}) if kind == "RayJob" else _conditions(kind, leaf.get("status") or {})
    if _is_suspended(leaf) and facts["phase"] not in _FINAL_PHASES:
        facts["phase"] = LeafPhase.SUSPENDED
    owners = [o for o in metadata.get("ownerReferences") or () if o.get("controller")]
    return LeafFacts(
        kind=kind,
        name=metadata["name"],
        stage=labels[LABEL_STAGE],
        attempt=int(attempt),
        key=annotations.get(ANNOTATION_STAGE_KEY, ""),
        owner_uid=owners[0].get("uid", "") if owners else "",
        is_queued=facts["phase"] == LeafPhase.SUSPENDED and bool(labels.get(_QUEUE_LABEL)),
        created_at=parse_time(metadata.get("creationTimestamp")),
        deleting_since=parse_time(metadata.get("deletionTimestamp")),
        **facts,
    )


def _is_suspended(leaf: Mapping[str, Any]) -> bool:
    spec = leaf.get("spec") or {}
    return bool(spec.get("suspend") or (spec.get("runPolicy") or {}).get("suspend"))


def _conditions(kind: str, status: Mapping[str, Any]) -> dict[str, Any]:
    true = {c["type"]: c for c in status.get("conditions") or () if c.get("status") == "True"}
    for name, phase in _CONDITIONS[kind]:
        if name in true:
            condition = true[name]
            is_failure = phase == LeafPhase.FAILED
            ended_at = parse_time(status.get("completionTime") or condition.get("lastTransitionTime"))
            return {
                "phase": phase,
                "ended_at": ended_at if phase in _FINAL_PHASES else None,
                "reason": condition.get("reason") or "" if is_failure else "",
                "message": condition.get("message") or "" if is_failure else "",
            }
    return {"phase": LeafPhase.STARTING}


def _ray_status(status: Mapping[str, Any]) -> dict[str, Any]:
    """`message` holds up to 20,000 characters of log: only the exit code is taken out of it."""
    deployment, job = status.get("jobDeploymentStatus") or "", status.get("jobStatus") or ""
    # Values that are not known here (later versions add some) mean "still going".
    phase = _RAY_PHASES.get(deployment, LeafPhase.STARTING)
    if phase == LeafPhase.SUCCEEDED and job != "SUCCEEDED":
        # Complete and STOPPED: somebody stopped it.
        phase = LeafPhase.FAILED
    facts: dict[str, Any] = {"phase": phase}
    if phase in _FINAL_PHASES:
        facts["ended_at"] = parse_time(status.get("endTime"))
    if phase == LeafPhase.FAILED:
        reason = status.get("reason") or (job.capitalize() if job == "STOPPED" else "RayJobFailed")
        facts |= {"reason": reason, "message": f"the RayJob is {deployment}, its driver {job or 'was not started'}"}
        if deployment == "ValidationFailed":
            message = f"KubeRay refuses the RayJob: {status.get('message') or 'see its events'}"
            return facts | {"reason": "ValidationFailed", "message": message, "exit_code": EXIT_PERMANENT}
        found = _RAY_EXIT_CODE.search((status.get("message") or "")[:512])
        facts["exit_code"] = int(found[1]) if found and reason == "AppFailed" else None
    return facts
