"""How the server learns what it missed: every journal of a run is sent again; what it has already changes nothing."""

from __future__ import annotations

import logging
import re
import time
from dataclasses import dataclass

from mimo_vl.config.storage import TrackingConfig
from mimo_vl.tracking.delivery import deliver_what_is_accepted
from mimo_vl.tracking.journal import JOURNAL, JournalEntry, mark_sent, num_sent, read_journal
from mimo_vl.tracking.rest import MlflowRest, TrackingRejectedError, TrackingUnavailableError
from mimo_vl.tracking.runs import AttemptRun, end_run, ensure_experiment, ensure_parent_run
from mimo_vl.tracking.tracker import KeyValueStore, RunStatus

logger = logging.getLogger(__name__)

_BATCH_ENTRIES = 500


@dataclass(frozen=True)
class ReplayResult:
    num_sent: int
    """Entries sent now."""
    num_kept: int
    """Entries that the server still misses; they stay in the journals."""
    num_refused: int
    """Entries that the server refuses; they stay in the journals."""


def replay_journals(
    config: TrackingConfig, *, uri: str, store: KeyValueStore, run: str, skip_attempt: str = ""
) -> ReplayResult:
    """Send every journal of the run that is not marked as sent. Never raises because the server is away.

    Args:
        config: experiment and time limit.
        uri: of the tracking server; "" sends nothing.
        store: of the run.
        run: key prefix of the run.
        skip_attempt: key prefix of the attempt that is running, whose own tracker sends its journal.
    """
    sent = kept = refused = 0
    rest = MlflowRest(uri, timeout_s=config.timeout_s) if uri and config.kind == "mlflow" else None
    for attempt in _attempts(store, run):
        journal = f"{attempt}/{JOURNAL}"
        entries = [] if attempt == skip_attempt else list(read_journal(store, journal))
        if len(entries) <= num_sent(store, journal):
            continue
        if rest is None:
            kept += len(entries)
            continue
        try:
            target = AttemptRun(rest, store, experiment=config.experiment, run=run, attempt=attempt)
            num_refused = _replay(target, _ended(entries))
        except TrackingUnavailableError as error:
            logger.warning("tracking server is away; %s keeps %d entries: %s", attempt, len(entries), error)
            kept += len(entries)
            rest = None
            continue
        mark_sent(store, journal, len(entries))
        sent, refused = sent + len(entries) - num_refused, refused + num_refused
    logger.info("replayed journals sent=%d kept=%d refused=%d", sent, kept, refused)
    return ReplayResult(num_sent=sent, num_kept=kept, num_refused=refused)


def finish_pipeline_run(config: TrackingConfig, *, uri: str, store: KeyValueStore, run: str, status: RunStatus) -> bool:
    """End the parent run; False if the server is away."""
    if not uri or config.kind != "mlflow":
        return False
    rest = MlflowRest(uri, timeout_s=config.timeout_s)
    try:
        parent = ensure_parent_run(rest, store, run, ensure_experiment(rest, config.experiment))
        end_run(rest, parent, status, int(time.time() * 1000))
    except (TrackingUnavailableError, TrackingRejectedError) as error:
        logger.warning("the run was not ended in the tracking server: %s", error)
        return False
    return True


def _attempts(store: KeyValueStore, run: str) -> list[str]:
    """Key prefixes of the attempts that have a journal."""
    pattern = re.compile(re.escape(run) + rf"/[^/]+/attempt-\d+(?=/{JOURNAL}/)")
    return sorted({match[0] for o in store.list(run + "/") if (match := pattern.match(o.key))})


def _ended(entries: list[JournalEntry]) -> list[JournalEntry]:
    """A journal without end belongs to a process that was killed."""
    if entries[-1].kind == "finish":
        return entries
    return [*entries, JournalEntry(kind="finish", time_ms=entries[-1].time_ms, name=RunStatus.KILLED)]


def _replay(target: AttemptRun, entries: list[JournalEntry]) -> int:
    """Returns the number of refused entries."""
    num_refused = 0
    for start in range(0, len(entries), _BATCH_ENTRIES):
        num_refused += deliver_what_is_accepted(target, entries[start : start + _BATCH_ENTRIES])
    return num_refused
