"""Attempts as local processes: start a launcher in its own session, see what lives, stop it."""

from __future__ import annotations

import logging
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from mimo_vl.errors import EXIT_DONE, InputError
from mimo_vl.schema.manifest import ExitRecord, Manifest
from mimo_vl.storage.artifacts import read_manifest
from mimo_vl.storage.attempts import conclude_attempt, read_claim, read_exit_record, read_progress, read_verdict
from mimo_vl.storage.checkpoints import complete_steps
from mimo_vl.storage.layout import CHECKPOINTS_DIR, MANIFEST, attempt_prefix, join
from mimo_vl.storage.store import ArtifactStore
from operators.mimo_pipeline.api import StageProgress
from operators.mimo_pipeline.builders.process import Process, RunFacts, build_process
from operators.mimo_pipeline.local.children import Child, ChildRecords, is_same_process, members, send, start_time_s
from operators.mimo_pipeline.plan import Conclude, Create, Delete, LeafPhase, Output, StageObservation

logger = logging.getLogger(__name__)

_KILLED = 128 + signal.SIGKILL
# A process that is being started carries its environment only after exec.
_EXEC_WAIT_S = 2.0


class LocalBackend:
    """StageBackend over the processes of this machine."""

    def __init__(
        self,
        facts: RunFacts,
        store: ArtifactStore,
        records: ChildRecords,
        *,
        log_path: Callable[[str, int], Path],
        environment: Callable[[], Mapping[str, str]],
    ) -> None:
        """`environment` gives what a launcher inherits, tracking URI included; it is called at each start."""
        self._facts, self._store, self._records = facts, store, records
        self._log_path, self._environment = log_path, environment
        self._started: dict[tuple[str, int], subprocess.Popen[bytes]] = {}
        self._alive: set[tuple[str, int]] = set()
        self._ended: dict[tuple[str, int], StageObservation] = {}
        self._manifest_seen_at_s: dict[tuple[str, int], float] = {}

    def render(self, create: Create) -> Process:
        return build_process(create, self._facts)

    def apply(self, leaf: Process) -> None:
        if self._records.find(leaf.stage, leaf.attempt) is not None:
            return
        now_s = time.time()
        child = Child(stage=leaf.stage, attempt=leaf.attempt, key=leaf.key, started_at_s=now_s, created_at_s=now_s)
        self._records.save(child)
        log = self._log_path(leaf.stage, leaf.attempt)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as sink:
            process = subprocess.Popen(
                leaf.argv,
                env={**self._environment(), **leaf.env},
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started[leaf.stage, leaf.attempt] = process
        self._alive.add((leaf.stage, leaf.attempt))
        identity = {"pid": process.pid, "started_at_s": start_time_s(process.pid)}
        self._records.save(child.model_copy(update=identity))
        logger.info("started stage=%s attempt=%d pid=%d log=%s", leaf.stage, leaf.attempt, process.pid, log)

    def observe(self) -> list[StageObservation]:
        return [self._observe(child) for child in self._records.all()]

    def launcher_pids(self) -> list[int]:
        """Launchers that live, for measuring."""
        return [c.pid for c in self._records.all() if (c.stage, c.attempt) not in self._ended and c.pid]

    def exit_records(self) -> list[ExitRecord]:
        prefixes = [attempt_prefix(self._facts.run_id, c.stage, c.attempt) for c in self._records.all()]
        return [record for p in prefixes if (record := read_exit_record(self._store, p)) is not None]

    def conclude(self, order: Conclude) -> None:
        name, prefix = (order.stage, order.attempt), attempt_prefix(self._facts.run_id, order.stage, order.attempt)
        conclude_attempt(self._store, prefix, order.verdict)
        if name in self._ended:
            # The first verdict stands, which need not be this one.
            self._ended[name] = replace(self._ended[name], verdict=read_verdict(self._store, prefix))

    def delete(self, order: Delete) -> None:
        child = self._records.find(order.stage, order.attempt)
        if child is None:
            return
        self._records.save(child.model_copy(update={"terminating_at_s": time.time()}))
        launcher_alive = is_same_process(child.pid, child.started_at_s)
        if launcher_alive and not order.force:
            # The launcher forwards it to its ranks, which save and end with 75.
            send(child.pid, signal.SIGTERM)
            return
        for process in members(self._facts.run_id, child.stage, child.attempt):
            send(process.pid, signal.SIGKILL if order.force else signal.SIGTERM)

    def _observe(self, child: Child) -> StageObservation:
        name = (child.stage, child.attempt)
        if name in self._ended:
            return self._ended[name]
        child = self._reap(self._identified(child))
        launcher_alive = is_same_process(child.pid, child.started_at_s)
        headless = not launcher_alive and self._has_members(child)
        # Liveness first, files afterwards: the files of an attempt that was gone by then are final.
        seen = self._read(child, launcher_alive or headless, headless)
        if seen.alive:
            self._alive.add(name)
            return seen
        if name in self._alive:
            self._records.save(child.model_copy(update={"ended_at_s": time.time()}))
        self._ended[name] = seen
        return seen

    def _identified(self, child: Child) -> Child:
        """A controller that died right after starting a launcher left no pid; the launcher's claim has it."""
        if child.pid:
            return child
        claim = read_claim(self._store, attempt_prefix(self._facts.run_id, child.stage, child.attempt))
        if claim is None or claim.stage_key != child.key or claim.hostname != socket.gethostname():
            return child
        child = child.model_copy(update={"pid": claim.pid, "started_at_s": claim.process_start_time_s})
        self._records.save(child)
        return child

    def _reap(self, child: Child) -> Child:
        process = self._started.get((child.stage, child.attempt))
        if process is None or child.returncode is not None or process.poll() is None:
            return child
        child = child.model_copy(update={"returncode": process.returncode})
        self._records.save(child)
        return child

    def _has_members(self, child: Child) -> bool:
        if members(self._facts.run_id, child.stage, child.attempt):
            return True
        return child.pid == 0 and time.time() - child.started_at_s < _EXEC_WAIT_S

    def _read(self, child: Child, alive: bool, headless: bool) -> StageObservation:
        prefix = attempt_prefix(self._facts.run_id, child.stage, child.attempt)
        record = None if alive else read_exit_record(self._store, prefix)
        progress = read_progress(self._store, prefix)
        manifest = self._manifest(prefix)
        steps = [] if alive else complete_steps(self._store, join(prefix, CHECKPOINTS_DIR))
        code = record.exit_code if record else _shell_code(child.returncode)
        message = record.message if record else self._last_words(child, code)
        now_s = time.time()
        if manifest is not None:
            self._manifest_seen_at_s.setdefault((child.stage, child.attempt), now_s)
        return StageObservation(
            stage=child.stage,
            attempt=child.attempt,
            phase=_phase(alive, manifest is not None, code),
            alive=alive,
            key=child.key,
            headless=headless and child.pid != 0,
            terminating_s=None if child.terminating_at_s is None else now_s - child.terminating_at_s,
            exit_code=code,
            is_oom=bool(record and "oom" in record.reason.lower()),
            reason=record.reason if record else "",
            message=message,
            output=None if manifest is None else self._output(prefix, manifest),
            finishing_s=now_s - self._manifest_seen_at_s.get((child.stage, child.attempt), now_s),
            checkpoint_step=max(steps) if steps else None,
            verdict=None if alive else read_verdict(self._store, prefix),
            progress=None if progress is None else StageProgress(**progress.model_dump(exclude={"version"})),
        )

    def _manifest(self, prefix: str) -> Manifest | None:
        if not self._store.exists(join(prefix, MANIFEST)):
            return None
        try:
            return read_manifest(self._store, prefix)
        except InputError as error:
            # An output that cannot be read does not exist; the attempt counts as failed.
            logger.error("unusable output: %s", error)
            return None

    def _output(self, prefix: str, manifest: Manifest) -> Output:
        return Output(
            uri=self._store.uri(prefix),
            digest=manifest.content_digest,
            key=manifest.stage_key,
            metrics=manifest.metrics,
        )

    def _last_words(self, child: Child, code: int | None) -> str:
        """Last line of the log of a launcher that failed without an exit record; one that was killed had no time."""
        if code in (None, EXIT_DONE, _KILLED):
            return ""
        try:
            lines = self._log_path(child.stage, child.attempt).read_text(encoding="utf-8", errors="replace").split("\n")
        except OSError:
            return ""
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _shell_code(returncode: int | None) -> int | None:
    """Popen says -9 where a shell says 137."""
    if returncode is None or returncode >= 0:
        return returncode
    return 128 - returncode


def _phase(alive: bool, has_output: bool, code: int | None) -> LeafPhase:
    if alive:
        return LeafPhase.RUNNING
    if has_output:
        return LeafPhase.SUCCEEDED
    return LeafPhase.GONE if code is None else LeafPhase.FAILED
