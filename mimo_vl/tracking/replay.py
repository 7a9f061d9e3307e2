"""How the server learns what it missed: every journal of a run is sent again; what it has already changes nothing."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import TypeVar

from pydantic import ValidationError

from mimo_vl.config.storage import TrackingConfig
from mimo_vl.errors import EXIT_DONE, ArtifactNotFoundError
from mimo_vl.schema.manifest import ExitRecord
from mimo_vl.schema.record import Record
from mimo_vl.schema.verdict import AttemptEnd, AttemptVerdict, provisional_verdict
from mimo_vl.tracking.delivery import deliver_what_is_accepted
from mimo_vl.tracking.journal import JOURNAL, JournalEntry, mark_sent, num_sent, read_journal
from mimo_vl.tracking.mlflow import reason_tags
from mimo_vl.tracking.rest import MlflowRest, TrackingUnavailableError
from mimo_vl.tracking.runs import AttemptRun
from mimo_vl.tracking.tracker import KeyValueStore, RunStatus, Target

logger = logging.getLogger(__name__)

R = TypeVar("R", bound=Record)

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
    attempts = [attempt for attempt in _attempts(store, run) if attempt != skip_attempt]
    return _replay_attempts(config, attempts, uri=uri, store=store, run=run)


def replay_earlier_attempts(
    config: TrackingConfig, *, uri: str, store: KeyValueStore, run: str, attempt: str
) -> ReplayResult:
    """The journals of the same stage's earlier attempts: one that was killed has an end as soon as the next begins."""
    stage, _, number = attempt.rpartition("/attempt-")
    earlier = {f"{stage}/attempt-{n}" for n in range(1, int(number))}
    attempts = [found for found in _attempts(store, stage) if found in earlier] if earlier else []
    return _replay_attempts(config, attempts, uri=uri, store=store, run=run)


def _replay_attempts(
    config: TrackingConfig, attempts: list[str], *, uri: str, store: KeyValueStore, run: str
) -> ReplayResult:
    sent = kept = refused = 0
    rest = MlflowRest(uri, timeout_s=config.timeout_s) if uri and config.kind == "mlflow" else None
    for attempt in attempts:
        target = None
        if rest is not None:
            target = AttemptRun(rest, store, experiment=config.experiment, run=run, attempt=attempt)
        for journal in _journals(store, attempt):
            entries = list(read_journal(store, journal))
            if journal == f"{attempt}/{JOURNAL}":
                entries = _ended(store, attempt, entries)
            if len(entries) <= num_sent(store, journal):
                continue
            if target is None:
                kept += len(entries)
                continue
            try:
                num_refused = _replay(target, entries)
            except TrackingUnavailableError as error:
                logger.warning("tracking server is away; %s keeps %d entries: %s", journal, len(entries), error)
                kept += len(entries)
                rest = target = None
                continue
            mark_sent(store, journal, len(entries), target.run_id)
            sent, refused = sent + len(entries) - num_refused, refused + num_refused
    if attempts:
        logger.info("replayed journals sent=%d kept=%d refused=%d", sent, kept, refused)
    return ReplayResult(num_sent=sent, num_kept=kept, num_refused=refused)


def _attempts(store: KeyValueStore, prefix: str) -> list[str]:
    """Key prefixes of the attempts below a run or a stage that have a journal."""
    pattern = re.compile(rf".*/attempt-\d+(?=/{JOURNAL}/)")
    return sorted({match[0] for o in store.list(prefix + "/") if (match := pattern.match(o.key))})


def _journals(store: KeyValueStore, attempt: str) -> list[str]:
    """That of the owner first: it makes the run."""
    journal = f"{attempt}/{JOURNAL}"
    pattern = re.compile(rf"{re.escape(journal)}/node-\d+(?=/chunk-)")
    return [journal, *sorted({match[0] for o in store.list(journal + "/node-") if (match := pattern.match(o.key))})]


def _ended(store: KeyValueStore, attempt: str, entries: list[JournalEntry]) -> list[JournalEntry]:
    """With the end that the controller saw, whatever the process said that was killed, or failed because another was.

    Until the controller has judged, what the launcher knows is added to what the process did not say.
    """
    if not entries:
        return entries
    last, record = entries[-1], _read(store, f"{attempt}/exit.json", ExitRecord)
    verdict = _read(store, f"{attempt}/verdict.json", AttemptVerdict)
    has_spoken = last.kind == "finish" and last.target == Target.ATTEMPT
    if verdict is None and has_spoken and (record is None or last.name == RunStatus.FINISHED):
        return entries
    if verdict is None and record is not None and record.exit_code == EXIT_DONE:
        status, tags = RunStatus.FINISHED, reason_tags("", "")
    else:
        verdict = verdict or provisional_verdict(record)
        status = RunStatus.FAILED if verdict.state == AttemptEnd.FAILED else RunStatus.KILLED
        tags = reason_tags(verdict.reason, verdict.message)
    if has_spoken and (last.name, last.tags) == (status, tags):
        return entries
    return [*entries, JournalEntry(kind="finish", time_ms=last.time_ms, name=status, tags=tags)]


def _read(store: KeyValueStore, key: str, kind: type[R]) -> R | None:
    """None for a damaged record too."""
    try:
        return kind.from_json(store.get_bytes(key)[0])
    except (ArtifactNotFoundError, ValidationError):
        return None


def _replay(target: AttemptRun, entries: list[JournalEntry]) -> int:
    """Returns the number of refused entries."""
    num_refused = 0
    for start in range(0, len(entries), _BATCH_ENTRIES):
        num_refused += deliver_what_is_accepted(target, entries[start : start + _BATCH_ENTRIES])
    return num_refused
