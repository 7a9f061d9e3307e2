"""How a stage attempt is tracked: every call goes to the journal on disk at once and to the server in the background.

A server that is away costs nothing but a warning: the sender tries again with growing pauses, finish() waits a bounded
time, and what is left is sent by `replay_journals`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from itertools import islice

from mimo_vl.errors import MimoError
from mimo_vl.tracking.artifacts import IS_TABLE, MAX_ARTIFACT_BYTES
from mimo_vl.tracking.delivery import CONFIG_FILE, deliver_what_is_accepted
from mimo_vl.tracking.journal import JournalEntry, JournalWriter, metrics_entry
from mimo_vl.tracking.runs import AttemptRun
from mimo_vl.tracking.system_metrics import SystemMetricsThread
from mimo_vl.tracking.tracker import ModelVersion, RunStatus, Target

logger = logging.getLogger(__name__)

# Entries that wait for the server; older ones are left to the replay.
_MAX_PENDING = 20_000
_BATCH_ENTRIES = 200
# Collect for this long before sending, so that fast steps share a request.
_BATCH_INTERVAL_S = 1.0
_MAX_PAUSE_S = 30.0
# finish() waits this many request deadlines.
_FINISH_DEADLINES = 2.0
TAG_REASON, TAG_MESSAGE = "mimo.reason", "mimo.message"


class MlflowTracker:
    def __init__(
        self,
        journal: JournalWriter,
        target: AttemptRun | None,
        *,
        timeout_s: float,
        system_metrics_interval_s: float,
        node_rank: int = 0,
        catch_up: Callable[[], object] | None = None,
    ) -> None:
        """A tracker that has not started.

        Args:
            journal: of this attempt.
            target: the server's run; None = journal only.
            timeout_s: of a request.
            system_metrics_interval_s: 0 = no system metrics.
            node_rank: whose system metrics.
            catch_up: called once in the background as soon as the server has answered.
        """
        self._journal = journal
        self._target = target
        self._timeout_s = timeout_s
        self._catch_up = catch_up
        self._pending: deque[JournalEntry] = deque()
        self._lock = threading.Lock()
        self._finishing = threading.Event()
        # Dropped from `pending`, or refused.
        self._num_not_sent = 0
        self._sender = threading.Thread(target=self._send_all, name="tracking", daemon=True)
        self._system = SystemMetricsThread(self.log_metrics, interval_s=system_metrics_interval_s, node_rank=node_rank)

    @property
    def run_id(self) -> str:
        return self._target.run_id if self._target else ""

    @property
    def ids(self) -> Mapping[str, str]:
        return self._target.ids if self._target else {}

    def start(self, run_name: str, params: Mapping[str, str], tags: Mapping[str, str]) -> None:
        self._log(JournalEntry(kind="start", time_ms=_now_ms(), name=run_name, values=dict(params), tags=dict(tags)))
        self.start_threads()

    def start_threads(self) -> None:
        if self._target is not None:
            self._sender.start()
        self._system.start()

    def describe_pipeline(self, config_yaml: str, tags: Mapping[str, str]) -> None:
        digest = "sha256:" + sha256(config_yaml.encode()).hexdigest()
        values, time_ms = {CONFIG_FILE: config_yaml}, _now_ms()
        entry = JournalEntry(kind="config", time_ms=time_ms, name=digest, values=values, tags=dict(tags))
        self._log(entry)

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        if metrics:
            self._log(metrics_entry(metrics, step, _now_ms()))

    def log_pipeline_metrics(self, metrics: Mapping[str, float]) -> None:
        if metrics:
            self._log(metrics_entry(metrics, 0, _now_ms(), Target.PIPELINE))

    def log_input(self, name: str, uri: str, digest: str, *, profile: str = "") -> None:
        values = {"uri": uri, "digest": digest} | ({"profile": profile} if profile else {})
        self._log(JournalEntry(kind="input", time_ms=_now_ms(), name=name, values=values))

    def set_tags(
        self, tags: Mapping[str, str], *, removed: Sequence[str] = (), target: Target = Target.ATTEMPT
    ) -> None:
        values = dict.fromkeys(removed, "")
        self._log(JournalEntry(kind="tags", time_ms=_now_ms(), values=values, tags=dict(tags), target=target))

    def log_artifact(self, path: str, data: bytes, *, is_table: bool = False, target: Target = Target.ATTEMPT) -> None:
        if len(data) > MAX_ARTIFACT_BYTES:
            logger.warning(
                "%s is not shown in the tracking server: %d bytes, at most %d", path, len(data), MAX_ARTIFACT_BYTES
            )
            return
        self._journal.keep_file(f"{target}/{path}", data)
        values = {IS_TABLE: "true"} if is_table else {}
        self._log(JournalEntry(kind="artifact", time_ms=_now_ms(), name=path, values=values, target=target))

    def register_model(self, version: ModelVersion) -> None:
        values = {"uri": version.uri, "digest": version.digest, "alias": version.alias, "card": version.card}
        entry = JournalEntry(kind="model", time_ms=_now_ms(), name=version.name, values=values, tags=dict(version.tags))
        self._log(entry)

    def finish_pipeline(self, status: RunStatus) -> None:
        self._log(JournalEntry(kind="finish", time_ms=_now_ms(), name=status, target=Target.PIPELINE))

    def flush(self) -> None:
        self._journal.flush()

    def finish(self, status: RunStatus, *, reason: str = "", message: str = "") -> None:
        # Its last sample comes before the end.
        self._system.stop()
        tags = reason_tags(reason, message)
        self._log(JournalEntry(kind="finish", time_ms=_now_ms(), name=status, tags=tags))
        self.stop_threads()

    def stop_threads(self) -> None:
        """Send what can be sent in time; close the journal."""
        self._system.stop()
        self._finishing.set()
        if self._sender.is_alive():
            self._sender.join(timeout=_FINISH_DEADLINES * self._timeout_s)
        with self._lock:
            num_left = len(self._pending) + self._num_not_sent
        is_sent = self._target is not None and num_left == 0 and not self._sender.is_alive()
        if self._target is not None and not is_sent:
            logger.warning("tracking server misses %d entries; they stay in the journal for a replay", num_left)
        self._journal.close(is_sent=is_sent, run_id=self.run_id)

    def _log(self, entry: JournalEntry) -> None:
        self._journal.append(entry)
        if self._target is None:
            return
        with self._lock:
            self._pending.append(entry)
            if len(self._pending) > _MAX_PENDING:
                self._pending.popleft()
                self._num_not_sent += 1

    def _send_all(self) -> None:
        """Body of the sender thread: until finish() was called and either all is sent or the server stays away."""
        pause_s, is_away = _BATCH_INTERVAL_S, False
        while True:
            is_finishing = self._finishing.wait(pause_s)
            with self._lock:
                batch = list(islice(self._pending, _BATCH_ENTRIES))
            if not batch:
                if is_finishing:
                    return
                continue
            is_sent = self._try_to_send(batch, was_away=is_away)
            if is_sent:
                pause_s, is_away = _BATCH_INTERVAL_S, False
                self._catch_up_once()
            elif is_finishing:
                return
            else:
                pause_s, is_away = min(2 * pause_s, _MAX_PAUSE_S), True

    def _try_to_send(self, batch: list[JournalEntry], *, was_away: bool) -> bool:
        assert self._target is not None
        try:
            num_refused = deliver_what_is_accepted(self._target, batch)
        # The store may be away as well as the server; both are met again at the next try.
        except MimoError as error:
            if not was_away:
                logger.warning("tracking server is away, training goes on and metrics are kept: %s", error)
            return False
        if was_away:
            logger.info("tracking server is back")
        with self._lock:
            self._num_not_sent += num_refused
            for entry in batch:
                # Overflow may have removed the oldest meanwhile.
                if self._pending and self._pending[0] is entry:
                    self._pending.popleft()
        return True

    def _catch_up_once(self) -> None:
        catch_up, self._catch_up = self._catch_up, None
        if catch_up is None:
            return
        try:
            catch_up()
        except MimoError as error:
            logger.warning("earlier attempts stay as they are in the tracking server until the end: %s", error)


def reason_tags(reason: str, message: str) -> dict[str, str]:
    """How an attempt that did not finish says why."""
    return {TAG_REASON: reason, TAG_MESSAGE: message} if reason else {}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
