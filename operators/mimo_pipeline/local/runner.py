"""The local loop: observe, reconcile, apply, until nothing is left to do. It holds nothing that matters in memory."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import FrameType

from mimo_vl.config.compose import dump_config
from mimo_vl.config.pipeline import PipelineConfig
from mimo_vl.schema.environment import VARIABLES
from mimo_vl.schema.manifest import KeyEntry
from mimo_vl.stop_request import StopRequest
from mimo_vl.storage.keys import record_key
from mimo_vl.storage.layout import run_of_output
from mimo_vl.storage.store import ArtifactStore, open_store
from operators.mimo_pipeline.api import (
    ACTIVE_STATES,
    TERMINAL_PHASES,
    MimoPipelineSpec,
    MimoPipelineStatus,
    PipelineRuntime,
)
from operators.mimo_pipeline.builders.process import STAGE_MODULES, RunFacts
from operators.mimo_pipeline.key_index import KeyIndex
from operators.mimo_pipeline.last_values import ManifestValues
from operators.mimo_pipeline.local.backend import LocalBackend
from operators.mimo_pipeline.local.children import ChildRecords
from operators.mimo_pipeline.local.display import Display
from operators.mimo_pipeline.local.memory import MemoryPeak, read_peak
from operators.mimo_pipeline.local.observe import observe
from operators.mimo_pipeline.local.settings import inherited_environment
from operators.mimo_pipeline.local.state import PipelineObject, RunFolder, write_atomically
from operators.mimo_pipeline.local.tracking_server import TrackingServer
from operators.mimo_pipeline.operator_metrics import OperatorMetrics
from operators.mimo_pipeline.pipeline_metrics import ShownPipeline
from operators.mimo_pipeline.plan import IndexEntry, Plan
from operators.mimo_pipeline.reconcile import reconcile

logger = logging.getLogger(__name__)

_TICK_S = 0.25


@dataclass(kw_only=True)
class LocalRunner:
    """Controls one run until it ends or is asked to stop. The caller holds `folder.control()`."""

    folder: RunFolder
    pipeline: PipelineObject
    config: PipelineConfig
    runtime: PipelineRuntime
    display: Display
    modules: Mapping[str, str] = field(default_factory=lambda: STAGE_MODULES)
    stop_requested: StopRequest = field(default_factory=StopRequest)
    metrics: OperatorMetrics = field(default_factory=OperatorMetrics)

    def __post_init__(self) -> None:
        self.store: ArtifactStore = open_store(self.config.storage, default_root=self.folder.store_path)
        self.tracking = TrackingServer(self.folder.path, store_uri=self.store.uri())
        uid = self.pipeline.metadata.uid
        config_path = self.folder.config_path(uid)
        if not config_path.exists():
            write_atomically(config_path, dump_config(self.config))
        facts = RunFacts(
            namespace=self.pipeline.metadata.namespace,
            pipeline=self.pipeline.metadata.name,
            run_id=self.pipeline.run_id,
            store_uri=self.store.uri(),
            config_path=str(config_path),
            code_digest=self.runtime.code_digest,
            python=sys.executable,
            modules=self.modules,
            num_procs={s.name: s.num_procs for s in self.pipeline.spec.stages},
        )
        self._backend = LocalBackend(
            facts,
            self.store,
            ChildRecords(self.folder.children_path(uid)),
            log_path=lambda stage, attempt: self.folder.log_path(uid, stage, attempt),
            environment=self._environment,
        )
        self._memory = MemoryPeak(self.folder.memory_path(uid))
        self._index = KeyIndex(self.store, self.pipeline.metadata.namespace, self.config.storage)
        self._last_values = ManifestValues(self.store)
        self._round_ended_s = time.monotonic()
        self.metrics.is_leader.set(1)
        # Nothing is watched here: every round looks for itself.
        self.metrics.watch_age_from(lambda: time.monotonic() - self._round_ended_s)

    def run(self) -> MimoPipelineStatus:
        """Returns the last status: terminal, or not if it was asked to stop (then no process of it is left)."""
        self.tracking.adopt()
        try:
            with _signals(self.stop_requested.set):
                while True:
                    plan, status = self.step()
                    if self._is_over(plan, status):
                        return status
                    if plan.requeue_after_s != 0.0:
                        time.sleep(_TICK_S)
        finally:
            self.tracking.stop()

    def step(self) -> tuple[Plan, MimoPipelineStatus]:
        """One round. The order conclude, create, index, status, delete makes a crash at any point harmless."""
        started_s = time.monotonic()
        pipeline = self.folder.load()
        observed = observe(pipeline, self.runtime, self._backend, self._index)
        plan = reconcile(self._effective(pipeline.spec), pipeline.status, observed, datetime.now(UTC))
        for conclusion in plan.conclude:
            self._backend.conclude(conclusion)
        for create in plan.create:
            self._backend.apply(self._backend.render(create))
        for entry in plan.index:
            self._record(pipeline, entry)
        if plan.status is not None:
            self.folder.save_status(pipeline.metadata.uid, plan.status)
        for order in plan.delete:
            self._backend.delete(order)
        for event in plan.events:
            self.display.event(event)
        status = plan.status or pipeline.status
        self.display.update(status)
        self._memory.sample(self._root_pids())
        self._show(pipeline, status, time.monotonic() - started_s)
        return plan, status

    def _show(self, pipeline: PipelineObject, status: MimoPipelineStatus, round_s: float) -> None:
        """On one machine all GPUs are the user's own: none is asked for."""
        shown = ShownPipeline(
            namespace=pipeline.metadata.namespace,
            name=pipeline.metadata.name,
            status=status,
            seen_at=datetime.now(UTC),
            last_values=self._last_values.of(status.stages),
        )
        self.metrics.update(shown)
        self.metrics.reconciles.inc()
        self.metrics.duration.observe(round_s)
        self._round_ended_s = time.monotonic()

    def peak_pss_bytes(self, status: MimoPipelineStatus) -> int:
        """Largest size of all processes of this run, and of the runs in this folder whose outputs it reuses.

        Launchers measure themselves and their ranks too: nobody may have looked meanwhile.
        """
        makers = {run_of_output(s.output_uri).rpartition("/")[2] for s in status.stages if s.reused}
        peaks = [self._memory.peak_pss_bytes, *(read_peak(self.folder.memory_path(uid)) for uid in makers)]
        return max([*peaks, *(r.peak_pss_bytes for r in self._backend.exit_records())])

    def _effective(self, spec: MimoPipelineSpec) -> MimoPipelineSpec:
        """Ctrl-C suspends for this process only: the file keeps what the user wrote, so the next run goes on."""
        return spec.model_copy(update={"suspend": True}) if self.stop_requested.is_set() else spec

    def _is_over(self, plan: Plan, status: MimoPipelineStatus) -> bool:
        if self.stop_requested.is_set():
            return not any(s.state in ACTIVE_STATES for s in status.stages)
        return status.phase in TERMINAL_PHASES and plan.is_empty

    def _environment(self) -> Mapping[str, str]:
        tracking = self.config.tracking
        if tracking.kind != "mlflow":
            return inherited_environment()
        return {**inherited_environment(), VARIABLES["tracking_uri"]: tracking.uri or self.tracking.uri()}

    def _record(self, pipeline: PipelineObject, entry: IndexEntry) -> None:
        record = KeyEntry(
            stage=entry.stage,
            stage_key=entry.key,
            run_id=pipeline.run_id,
            uri=entry.uri,
            content_digest=entry.digest,
        )
        record_key(self.store, pipeline.metadata.namespace, record)

    def _root_pids(self) -> Iterator[int]:
        yield os.getpid()
        yield from self._backend.launcher_pids()
        if self.tracking.pid is not None:
            yield self.tracking.pid


@contextmanager
def _signals(on_signal: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C and SIGTERM ask the loop to stop; the launchers, in sessions of their own, do not see Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of signal handlers
        on_signal()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
