"""One round for one pipeline: look, decide by reconcile, carry out. Blocking; called with one key at a time.

It remembers only what is cheap to lose: open stores, records of ended attempts, pods that vanished.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from mimo_vl.errors import StorageError
from mimo_vl.storage.store import ArtifactStore, open_store
from operators.mimo_pipeline import conditions
from operators.mimo_pipeline.api import (
    ACTIVE_STATES,
    MimoPipelineStatus,
    PipelineRuntime,
    StageStatus,
    StoreSettings,
)
from operators.mimo_pipeline.cluster_settings import ClusterSettings
from operators.mimo_pipeline.headline import headline
from operators.mimo_pipeline.key_index import KeyIndex
from operators.mimo_pipeline.kubeflow.mirror import build_mirror
from operators.mimo_pipeline.kubernetes.apply import NotCreatedError, PlanWriter, tell, write_status
from operators.mimo_pipeline.kubernetes.cluster import Api, ApiError
from operators.mimo_pipeline.kubernetes.compose_runtime import (
    Composed,
    cluster_facts,
    compose_runtime,
    storage_config,
    store_settings,
)
from operators.mimo_pipeline.kubernetes.discovery import Discovery
from operators.mimo_pipeline.kubernetes.observe import Seen, World, observe_pipeline
from operators.mimo_pipeline.kubernetes.pipelines import (
    KUBEFLOW_UNAVAILABLE,
    STORE_UNAVAILABLE,
    ClusterPipeline,
    Note,
    StoredPipeline,
    mirrored,
    parse_pipeline,
    parse_stored,
    with_notes,
)
from operators.mimo_pipeline.kubernetes.resources import PIPELINES
from operators.mimo_pipeline.kubernetes.shown_pipeline import PipelineViewer
from operators.mimo_pipeline.kubernetes.store_evidence import EvidenceReader
from operators.mimo_pipeline.operator_metrics import OperatorMetrics
from operators.mimo_pipeline.plan import Plan
from operators.mimo_pipeline.pod_history import PodHistory
from operators.mimo_pipeline.reconcile import reconcile

logger = logging.getLogger(__name__)

# Progress and manifests appear in the store, which tells nobody.
POLL_S = 10.0
# A stage that could not be created is tried again after this time, or when something is seen to change.
BLOCKED_S = 5.0
REFUSED_S = 30.0


@dataclass(kw_only=True)
class Controller:
    api: Api
    settings: ClusterSettings
    source_root: Path
    instance: str = "mimo-operator"
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    history: PodHistory = field(default_factory=PodHistory)
    clock: Callable[[], float] = time.monotonic
    on_status_written: Callable[[str, str, float], None] | None = None
    """Told namespace, name, and by `clock` when the write began."""
    metrics: OperatorMetrics = field(default_factory=OperatorMetrics)
    """Told of the pipeline after each round, and when it is gone."""

    def __post_init__(self) -> None:
        self.discovery = Discovery(self.api)
        self._stores: dict[StoreSettings, ArtifactStore] = {}
        self._indexes: dict[tuple[StoreSettings, str], KeyIndex] = {}
        self._readers: dict[tuple[str, str], tuple[str, EvidenceReader]] = {}
        self._composed: dict[tuple[str, str], tuple[tuple[str, int], Composed]] = {}
        self._viewer = PipelineViewer(self.settings)
        self.mirror = build_mirror(self.settings.kubeflow) if self.settings.kubeflow else None

    def round(self, namespace: str, name: str) -> float | None:
        """Seconds until the next look; None = only when something changes.

        Raises:
            ApiError, StorageError: to be tried again later.
        """
        try:
            raw = self.api.get(PIPELINES, namespace, name)
        except ApiError as error:
            if not error.is_not_found:
                raise
            self._forget(namespace, name)
            return None
        if raw["metadata"].get("deletionTimestamp"):
            self._forget(namespace, name)
            return None
        try:
            pipeline = parse_pipeline(raw)
        except ValidationError as error:
            self._refuse(parse_stored(raw), error)
            return None
        return self._round(pipeline)

    def _round(self, pipeline: ClusterPipeline) -> float | None:
        now = self.now()
        try:
            composed = self._compose(pipeline)
            world = self._world(pipeline)
            seen = observe_pipeline(world, pipeline, runtime=composed.runtime, problems=composed.problems, now=now)
            plan = reconcile(pipeline.spec, pipeline.status, seen.observed, now)
            return self._apply(pipeline, world, seen, plan, now)
        except StorageError as error:
            note = Note(type=STORE_UNAVAILABLE, reason="StoreUnavailable", message=str(error))
            self._write(pipeline, pipeline.status, [note], now)
            raise

    def _apply(self, pipeline: ClusterPipeline, world: World, seen: Seen, plan: Plan, now: datetime) -> float | None:
        """Order: conclude, create, index, status, delete, events. A crash at any point is planned again."""
        notes = list(seen.notes)
        status = plan.status or pipeline.status
        events, waits_s = plan.events, [] if plan.requeue_after_s is None else [plan.requeue_after_s]
        writer = self._writer(pipeline, world, seen, status.runtime)
        for order in plan.conclude:
            world.evidence.conclude(order.stage, order.attempt, order.verdict)
        for create in plan.create:
            try:
                writer.create(create)
            except NotCreatedError as error:
                status = _undone(status, pipeline.status, error.stage)
                events = tuple(e for e in events if e.stage != error.stage)
                notes += [error.note] if error.note else []
                waits_s.append(REFUSED_S if error.note else BLOCKED_S)
        for entry in plan.index:
            writer.record(entry)
        if self.mirror is not None:
            run, trouble = self.mirror.look(mirrored(pipeline, status))
            status = status.model_copy(update={"kubeflow_run": run})
            if trouble:
                notes.append(Note(type=KUBEFLOW_UNAVAILABLE, reason="NotShown", message=trouble))
                waits_s.append(REFUSED_S)
        self._write(pipeline, status, notes, now)
        for deletion in plan.delete:
            writer.delete(deletion)
        tell(self.api, pipeline, events, now, self.instance)
        store = self._store(self._store_of(pipeline))
        self.metrics.update(self._viewer.view(pipeline, status, store, now))
        if any(s.state in ACTIVE_STATES for s in status.stages):
            waits_s.append(POLL_S)
        return min(waits_s, default=None)

    def _writer(
        self, pipeline: ClusterPipeline, world: World, seen: Seen, runtime: PipelineRuntime | None
    ) -> PlanWriter:
        runtime = runtime or PipelineRuntime()
        return PlanWriter(
            world=world,
            pipeline=pipeline,
            seen=seen,
            facts=cluster_facts(pipeline, runtime, self.settings),
            runtime=runtime,
            store=self._store(self._store_of(pipeline)),
        )

    def _write(
        self, pipeline: StoredPipeline, status: MimoPipelineStatus, notes: Iterable[Note], now: datetime
    ) -> None:
        full = with_notes(status, notes, pipeline.full_status, pipeline.generation, now)
        if full != pipeline.full_status:
            began_s = self.clock()
            write_status(self.api, pipeline, full)
            if self.on_status_written is not None:
                self.on_status_written(pipeline.namespace, pipeline.name, began_s)

    def _refuse(self, pipeline: StoredPipeline, error: ValidationError) -> None:
        """The CRD and the types disagree about the spec: say so where the user looks."""
        lines = [f"spec.{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        wanted, now = conditions.of_invalid("InvalidSpec", lines), self.now()
        updated = conditions.updated(pipeline.status.conditions, wanted, pipeline.generation, now)
        self._write(pipeline, pipeline.status.model_copy(update={"conditions": updated}), [], now)

    def _compose(self, pipeline: ClusterPipeline) -> Composed:
        """Only before the start; afterwards the status has it."""
        if pipeline.status.started_at is not None:
            return Composed(runtime=None)
        name, version = (pipeline.namespace, pipeline.name), (pipeline.uid, pipeline.generation)
        known = self._composed.get(name)
        if known is None or known[0] != version:
            known = (version, compose_runtime(pipeline, self.settings, self.source_root))
            self._composed[name] = known
        return known[1]

    def _world(self, pipeline: ClusterPipeline) -> World:
        settings = self._store_of(pipeline)
        store = self._store(settings)
        config = storage_config(settings)
        index = self._indexes.setdefault((settings, pipeline.namespace), KeyIndex(store, pipeline.namespace, config))
        name = (pipeline.namespace, pipeline.name)
        uid, reader = self._readers.get(name, ("", None))
        if reader is None or uid != pipeline.uid:
            reader = EvidenceReader(store, pipeline.run_id)
            self._readers[name] = (pipeline.uid, reader)
        return World(
            api=self.api,
            evidence=reader,
            history=self.history,
            index=index,
            served=self.discovery.served(),
            node_lost_timeout_s=self.settings.node_lost_timeout_s,
        )

    def _store_of(self, pipeline: ClusterPipeline) -> StoreSettings:
        return store_settings(pipeline.spec, self.settings, pipeline.status.runtime)

    def _store(self, settings: StoreSettings) -> ArtifactStore:
        if settings not in self._stores:
            self._stores[settings] = open_store(storage_config(settings))
        return self._stores[settings]

    def _forget(self, namespace: str, name: str) -> None:
        self._readers.pop((namespace, name), None)
        self._composed.pop((namespace, name), None)
        self.history.forget(namespace, name)
        self._viewer.forget(namespace, name)
        if self.mirror is not None:
            self.mirror.forget(namespace, name)
        self.metrics.remove(namespace, name)


def _undone(status: MimoPipelineStatus, before: MimoPipelineStatus, stage: str) -> MimoPipelineStatus:
    """The stage was not started after all; everything else of the plan stands."""
    old = next((s for s in before.stages if s.name == stage), StageStatus(name=stage))
    stages = tuple(old if s.name == stage else s for s in status.stages)
    return status.model_copy(update={"stages": stages, **headline(stages)})
