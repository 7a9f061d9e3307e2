"""What one pod tells about its attempt: does it live, how did it end, who made it go. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from mimo_vl.schema.manifest import ExitRecord
from operators.mimo_pipeline.naming import LABEL_ATTEMPT, LABEL_PIPELINE, LABEL_RUN, LABEL_STAGE

_FINISHED_PHASES = ("Succeeded", "Failed")
_OOM_KILLED = "OOMKilled"
# Reasons of waiting containers that somebody has to do something about.
_NORMAL_WAITS = ("", "ContainerCreating", "PodInitializing")
_LABEL_RAY_GROUP = "ray.io/group"


@dataclass(frozen=True, kw_only=True)
class ContainerEnd:
    exit_code: int
    finished_at: datetime | None = None
    is_oom: bool = False
    record: ExitRecord | None = None
    """The launcher's own word, from its termination message."""

    @property
    def code(self) -> int:
        return self.record.exit_code if self.record else self.exit_code


@dataclass(frozen=True, kw_only=True)
class PodFacts:
    uid: str
    name: str
    pipeline: str
    stage: str
    attempt: int
    run: str = ""
    """Of which pipeline of this name (naming.run_label)."""
    created_at: datetime | None = None
    phase: str = "Pending"
    is_ray: bool = False
    """Its containers run Ray: their exit codes say nothing about the stage, only exit records do."""
    deletion_requested_at: datetime | None = None
    grace_s: float = 30.0
    is_disrupted: bool = False
    """Evicted, preempted, or removed with its node; not for what it did itself."""
    fault: str = ""
    """The kubelet ended it because it used more disk than it may: it would do so again."""
    unreachable_since: datetime | None = None
    """Its node stopped answering; the containers may still run."""
    image_id: str = ""
    """Of its container's image, by digest, once it was pulled."""
    ends: tuple[ContainerEnd, ...] = ()
    trouble: tuple[str, str] | None = None
    """Reason and message of why it does not start."""
    deletion_seen: int | None = None
    failure_seen: int | None = None
    """Order in which the watch told about them; orders events of one second."""

    @property
    def is_live(self) -> bool:
        return self.phase not in _FINISHED_PHASES or self.deletion_requested_at is not None

    @property
    def failures(self) -> tuple[ContainerEnd, ...]:
        """Ends that say something about the stage and are not success."""
        return tuple(e for e in self.ends if e.code != 0 and (e.record is not None or not self.is_ray or e.is_oom))

    def is_lost(self, now: datetime, node_lost_timeout_s: float) -> bool:
        """Its node is gone for so long that nobody waits for it any more."""
        timeout = timedelta(seconds=node_lost_timeout_s)
        if self.unreachable_since is not None and now - self.unreachable_since > timeout:
            return True
        asked_at = self.deletion_requested_at
        return asked_at is not None and now - asked_at > timedelta(seconds=self.grace_s) + timeout


def parse_pod(pod: Mapping[str, Any]) -> PodFacts | None:
    """None for a pod without our labels."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    labels = metadata.get("labels") or {}
    attempt = labels.get(LABEL_ATTEMPT, "")
    if LABEL_PIPELINE not in labels or LABEL_STAGE not in labels or not attempt.isdecimal():
        return None
    # deletionTimestamp is the end of the grace period, not the time of the request.
    grace_s = float((pod.get("spec") or {}).get("terminationGracePeriodSeconds") or 30)
    deletion = parse_time(metadata.get("deletionTimestamp"))
    if deletion is not None:
        deletion -= timedelta(seconds=float(metadata.get("deletionGracePeriodSeconds") or 0))
    conditions = {c["type"]: c for c in status.get("conditions") or ()}
    fault = _fault(status)
    return PodFacts(
        uid=metadata.get("uid", ""),
        name=metadata.get("name", ""),
        pipeline=labels[LABEL_PIPELINE],
        stage=labels[LABEL_STAGE],
        attempt=int(attempt),
        run=labels.get(LABEL_RUN, ""),
        created_at=parse_time(metadata.get("creationTimestamp")),
        phase=status.get("phase") or "Pending",
        is_ray=_LABEL_RAY_GROUP in labels,
        deletion_requested_at=deletion,
        grace_s=grace_s,
        is_disrupted=conditions.get("DisruptionTarget", {}).get("status") == "True" and not fault,
        fault=fault,
        unreachable_since=_unreachable_since(status, conditions),
        image_id=_image_id(status),
        ends=tuple(_ends(status)),
        trouble=_trouble(status, conditions),
    )


def merge(old: PodFacts, new: PodFacts) -> PodFacts:
    """The newest view, without forgetting ends and deletions that were seen before."""
    return replace(
        new,
        phase=old.phase if old.phase in _FINISHED_PHASES else new.phase,
        deletion_requested_at=new.deletion_requested_at or old.deletion_requested_at,
        is_disrupted=new.is_disrupted or old.is_disrupted,
        fault=new.fault or old.fault,
        image_id=new.image_id or old.image_id,
        ends=new.ends or old.ends,
        deletion_seen=old.deletion_seen,
        failure_seen=old.failure_seen,
    )


def parse_time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _fault(status: Mapping[str, Any]) -> str:
    """The kubelet calls both an eviction: a node under pressure, and a pod above its own limit of disk."""
    message = status.get("message") or ""
    is_own = "limit" in message and ("EmptyDir" in message or "ephemeral" in message)
    return message if status.get("reason") == "Evicted" and is_own else ""


def _unreachable_since(status: Mapping[str, Any], conditions: Mapping[str, Mapping[str, Any]]) -> datetime | None:
    """The node controller marks pods of a silent node not ready, while the kubelet's own word stays "ready"."""
    ready, containers = conditions.get("Ready", {}), conditions.get("ContainersReady", {})
    is_marked = ready.get("status") == "False" and containers.get("status") == "True"
    if status.get("phase") != "Running" or not is_marked:
        return None
    return parse_time(ready.get("lastTransitionTime"))


def _image_id(status: Mapping[str, Any]) -> str:
    return next((str(c["imageID"]) for c in status.get("containerStatuses") or () if c.get("imageID")), "")


def _ends(status: Mapping[str, Any]) -> list[ContainerEnd]:
    found = []
    for container in status.get("containerStatuses") or ():
        ended = (container.get("state") or {}).get("terminated")
        if ended:
            found.append(
                ContainerEnd(
                    exit_code=int(ended.get("exitCode", 0)),
                    finished_at=parse_time(ended.get("finishedAt")),
                    is_oom=ended.get("reason") == _OOM_KILLED,
                    record=_exit_record(ended.get("message") or ""),
                )
            )
    return found


def _exit_record(message: str) -> ExitRecord | None:
    if not message.startswith("{"):
        return None
    try:
        return ExitRecord.from_json(message.encode())
    except (ValidationError, ValueError):
        return None


def _trouble(status: Mapping[str, Any], conditions: Mapping[str, Mapping[str, Any]]) -> tuple[str, str] | None:
    if status.get("phase") not in (None, "", "Pending"):
        return None
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        return scheduled.get("reason") or "Unschedulable", scheduled.get("message") or "no node can take the pod"
    for container in [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]:
        waiting = (container.get("state") or {}).get("waiting") or {}
        reason = waiting.get("reason") or ""
        if reason not in _NORMAL_WAITS:
            return reason, waiting.get("message") or reason
    return None
