"""Why a job that runs has no pods, or too few: Pod Security or a quota refuses them, and only events say so.

Job and training-operator tell it of the job itself, JobSet and KubeRay of what they make from it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from operators.mimo_pipeline.cluster_leaf import LeafFacts
from operators.mimo_pipeline.cluster_pods import PodFacts, parse_time
from operators.mimo_pipeline.kubernetes.cluster import Api, ApiError
from operators.mimo_pipeline.kubernetes.resources import EVENTS

logger = logging.getLogger(__name__)

# Kind of leaf job -> kind of the object that makes its pods.
_MAKERS: Mapping[str, str] = {"Job": "Job", "PyTorchJob": "PyTorchJob", "TrainJob": "Job", "RayJob": "RayCluster"}
# FailedCreate (Job), FailedCreatePod (training-operator), FailedToCreateHeadPod and ...WorkerPod (KubeRay).
_REASONS = ("FailedCreate", "FailedToCreate")


def refusal_of_pods(api: Api, namespace: str, leaf: LeafFacts, pods: Iterable[PodFacts]) -> str:
    """What the latest failed creation of a pod says; empty if there is none, or a pod was created after it."""
    fields = f"regarding.kind={_MAKERS[leaf.kind]},type=Warning"
    try:
        events = api.list(EVENTS, namespace, fields=fields)
    except ApiError as error:
        # It would only explain. Nothing else depends on it.
        logger.warning("events not read namespace=%s: %s", namespace, error)
        return ""
    since = [t for t in (leaf.created_at, *(p.created_at for p in pods)) if t is not None]
    found = [
        (moment, event.get("note") or event["reason"])
        for event in events
        if _is_about(event, leaf.name) and (moment := _time(event)) is not None and moment >= max(since, default=moment)
    ]
    return str(max(found)[1]) if found else ""


def _is_about(event: Mapping[str, Any], leaf: str) -> bool:
    name = (event.get("regarding") or {}).get("name") or ""
    is_ours = name == leaf or name.startswith(f"{leaf}-")
    return is_ours and (event.get("reason") or "").startswith(_REASONS)


def _time(event: Mapping[str, Any]) -> datetime | None:
    """When it was seen last. Recorders of the older API fill in a field of their own."""
    series = event.get("series") or {}
    return parse_time(
        series.get("lastObservedTime")
        or event.get("deprecatedLastTimestamp")
        or event.get("eventTime")
        or event["metadata"].get("creationTimestamp")
    )
