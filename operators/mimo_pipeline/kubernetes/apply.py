"""Carries out one Plan on the cluster: creates jobs once, writes the status conditionally, deletes, tells events."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mimo_vl.errors import ConfigError
from mimo_vl.schema.manifest import KeyEntry
from mimo_vl.storage.keys import record_key
from mimo_vl.storage.store import ArtifactStore
from operators.mimo_pipeline.api import MimoPipelineStatus, PipelineRuntime
from operators.mimo_pipeline.builders.cluster_facts import ClusterFacts
from operators.mimo_pipeline.builders.config_map import build_config_map
from operators.mimo_pipeline.builders.leaf import build_leaf
from operators.mimo_pipeline.cluster_leaf import parse_leaf
from operators.mimo_pipeline.cluster_observation import AttemptFacts
from operators.mimo_pipeline.cluster_pods import parse_pod
from operators.mimo_pipeline.kubernetes.cluster import Api, ApiError
from operators.mimo_pipeline.kubernetes.observe import Seen, World, selector
from operators.mimo_pipeline.kubernetes.pipelines import (
    BACKEND_UNAVAILABLE,
    LEAF_REFUSED,
    ClusterPipeline,
    Note,
    StoredPipeline,
)
from operators.mimo_pipeline.kubernetes.resources import CONFIG_MAPS, EVENTS, PIPELINES, PODS, leaf_resource
from operators.mimo_pipeline.naming import leaf_name, run_label
from operators.mimo_pipeline.plan import Create, Delete, Event, IndexEntry

logger = logging.getLogger(__name__)

CONTROLLER = "mimo.dev/operator"
_MAX_NOTE = 1024
_UPDATE_CRD = "kubectl apply --server-side -f charts/mimo-pipeline/files/crd.yaml"


class NotCreatedError(Exception):
    """This stage does not start now. The other stages are not concerned. `note`: what the user should know."""

    def __init__(self, stage: str, note: Note | None = None) -> None:
        super().__init__(f"{stage} is not started now" + (f": {note.message}" if note else ""))
        self.stage, self.note = stage, note


@dataclass(frozen=True, kw_only=True)
class PlanWriter:
    world: World
    pipeline: ClusterPipeline
    seen: Seen
    facts: ClusterFacts
    runtime: PipelineRuntime
    store: ArtifactStore

    @property
    def api(self) -> Api:
        return self.world.api

    def create(self, create: Create) -> None:
        """Raises NotCreatedError; ApiError for what may pass by itself."""
        stage = self.pipeline.spec.stage(create.stage)
        resource = leaf_resource(stage)
        if resource not in self.world.served:
            text = f"{resource.kind} ({resource.api_version}) is not installed; install it with: {resource.install}"
            raise NotCreatedError(create.stage, Note(type=BACKEND_UNAVAILABLE, reason="NotInstalled", message=text))
        self._require_nothing_alive(create)
        try:
            leaf = build_leaf(create, stage, self.facts)
        except ConfigError as error:
            raise NotCreatedError(create.stage, _refused(create, "InvalidPodSettings", str(error))) from error
        self.api.apply(CONFIG_MAPS, self.pipeline.namespace, build_config_map(self.facts, self.runtime.config))
        try:
            self.api.create(resource, self.pipeline.namespace, leaf)
        except ApiError as error:
            if error.is_already_there:
                self._require_ours(create)
            elif error.is_refusal:
                raise NotCreatedError(create.stage, _refused(create, error.reason, error.message)) from error
            else:
                raise
        logger.info("created %s namespace=%s name=%s", resource.kind, self.pipeline.namespace, leaf["metadata"]["name"])

    def record(self, entry: IndexEntry) -> None:
        record = KeyEntry(
            stage=entry.stage,
            stage_key=entry.key,
            run_id=self.pipeline.run_id,
            uri=entry.uri,
            content_digest=entry.digest,
        )
        record_key(self.store, self.pipeline.namespace, record)

    def delete(self, order: Delete) -> None:
        """Ask an attempt to end: its job goes, or its pods if the job is gone. `force`: its pods, without grace."""
        facts = self.seen.attempts.get((order.stage, order.attempt))
        if facts is None:
            return
        if facts.leaf is not None:
            resource = leaf_resource(self.pipeline.spec.stage(order.stage))
            self.api.delete(resource, self.pipeline.namespace, facts.leaf.name)
        if order.force or facts.leaf is None:
            self._delete_pods(facts, grace_s=0 if order.force else None)

    def _delete_pods(self, facts: AttemptFacts, grace_s: int | None) -> None:
        for pod in facts.pods:
            # A pod object removed from under a silent node would hide a process that may still run.
            if pod.is_live and pod.unreachable_since is None:
                self.api.delete(PODS, self.pipeline.namespace, pod.name, uid=pod.uid, grace_s=grace_s)

    def _require_nothing_alive(self, create: Create) -> None:
        """Fencing, by what the API server says now: no pod and no unfinished job of any other attempt.

        Pods with this attempt's number are another's too while its job does not exist, for their job is gone; and so
        are those of a deleted pipeline of this name.
        """
        namespace = self.pipeline.namespace
        labels = selector(self.pipeline.name, stage=create.stage)
        gone = {(o.stage, o.attempt) for o in self.seen.observed.attempts if not o.alive}
        lost = {p.uid for n in gone if n in self.seen.attempts for p in self.seen.attempts[n].pods if p.is_live}
        pods = [p for item in self.api.list(PODS, namespace, labels) if (p := parse_pod(item)) is not None]
        found = self.api.list(leaf_resource(self.pipeline.spec.stage(create.stage)), namespace, labels)
        leaves = [f for item in found if (f := parse_leaf(item)) is not None and f.owner_uid == self.pipeline.uid]
        is_created = any(leaf.attempt == create.attempt for leaf in leaves)
        for pod in pods:
            is_own = is_created and pod.attempt == create.attempt and pod.run == run_label(self.pipeline.uid)
            if pod.is_live and not is_own and pod.uid not in lost:
                raise NotCreatedError(create.stage)
        for leaf in leaves:
            if leaf.attempt != create.attempt and not leaf.is_final and (leaf.stage, leaf.attempt) not in gone:
                raise NotCreatedError(create.stage)

    def _require_ours(self, create: Create) -> None:
        """The name is taken: by this very attempt (a lost answer), or by a job that must go first."""
        resource = leaf_resource(self.pipeline.spec.stage(create.stage))
        name = leaf_name(self.pipeline.name, create.stage, create.attempt)
        leaf = parse_leaf(self.api.get(resource, self.pipeline.namespace, name))
        is_ours = (
            leaf is not None
            and leaf.owner_uid == self.pipeline.uid
            and (leaf.stage, leaf.attempt, leaf.key) == (create.stage, create.attempt, create.key)
            and leaf.deleting_since is None
        )
        if not is_ours:
            text = f"{resource.kind} {name} exists and is not this attempt's; delete it if nobody needs it"
            raise NotCreatedError(create.stage, Note(type=LEAF_REFUSED, reason="NameTaken", message=text))


def write_status(api: Api, pipeline: StoredPipeline, status: MimoPipelineStatus) -> None:
    """Conditional on the resourceVersion that was read; ApiError.is_conflict if somebody wrote meanwhile."""
    try:
        api.replace(PIPELINES, pipeline.namespace, {**pipeline.raw, "status": status.to_values()}, "status")
    except ApiError as error:
        if not error.is_malformed:
            raise
        text = f"{error.message}; is the CRD older than this operator? Then update it with: {_UPDATE_CRD}"
        raise ApiError(error.status, error.reason, text) from error


def tell(api: Api, pipeline: ClusterPipeline, events: Iterable[Event], now: datetime, instance: str) -> None:
    """One event per transition. An event that cannot be written is only logged: the status says the same."""
    for event in events:
        logger.info("pipeline=%s/%s %s: %s", pipeline.namespace, pipeline.name, event.reason, event.message)
        try:
            api.create(EVENTS, pipeline.namespace, event_object(pipeline, event, now, instance))
        except ApiError as error:
            if not error.is_already_there:
                logger.warning("event not written: %s", error)


def event_object(pipeline: ClusterPipeline, event: Event, now: datetime, instance: str) -> dict[str, Any]:
    identity = f"{pipeline.uid} {event.reason} {event.stage} {event.message} {now.isoformat()}"
    return {
        "apiVersion": EVENTS.api_version,
        "kind": EVENTS.kind,
        "metadata": {
            "name": f"{pipeline.name}.{hashlib.sha256(identity.encode()).hexdigest()[:16]}",
            "namespace": pipeline.namespace,
        },
        "eventTime": now.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "reportingController": CONTROLLER,
        "reportingInstance": instance,
        "action": event.stage or "Pipeline",
        "reason": event.reason,
        "note": event.message[:_MAX_NOTE],
        "type": str(event.type),
        "regarding": {
            "apiVersion": PIPELINES.api_version,
            "kind": PIPELINES.kind,
            "name": pipeline.name,
            "namespace": pipeline.namespace,
            "uid": pipeline.uid,
        },
    }


def _refused(create: Create, reason: str, message: str) -> Note:
    text = f"stage {create.stage}: {message}; change the stage's pod settings or what refuses them"
    return Note(type=LEAF_REFUSED, reason=reason or "Refused", message=text)
