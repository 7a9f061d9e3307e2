"""What became of each attempt of a stage, by the records that it left in the store."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime
from typing import Any, TypeVar

from mimo_vl.errors import InputError
from mimo_vl.reporting.run import Attempt, AttemptState, KnownStage
from mimo_vl.schema.manifest import Claim, ExitRecord, Manifest
from mimo_vl.schema.verdict import AttemptVerdict, provisional_verdict
from mimo_vl.storage import ArtifactStore
from mimo_vl.storage.artifacts import read_manifest
from mimo_vl.storage.attempts import read_claim, read_exit_record, read_revocation, read_verdict
from mimo_vl.storage.layout import JOURNAL_DIR, MANIFEST, attempt_prefix, join, run_prefix
from mimo_vl.tracking.journal import SENT, run_sent_to

logger = logging.getLogger(__name__)

R = TypeVar("R")

# States of a stage whose latest attempt has a process.
_ACTIVE = frozenset({"Running", "Queued"})


def attempts_of_run(keys: Iterable[str], run_id: str) -> dict[str, list[int]]:
    """Stage -> numbers of its attempts in order, from all keys of the run."""
    pattern = re.compile(re.escape(run_prefix(run_id)) + r"/([^/]+)/attempt-(\d+)/")
    found: dict[str, set[int]] = {}
    for key in keys:
        match = pattern.match(key)
        if match:
            found.setdefault(match[1], set()).add(int(match[2]))
    return {stage: sorted(numbers) for stage, numbers in found.items()}


def read_attempt(
    store: ArtifactStore, keys: Collection[str], run_id: str, known: KnownStage, number: int
) -> tuple[Attempt, Manifest | None]:
    """`keys`: all keys of the run, so that absent records cost no request."""
    prefix = attempt_prefix(run_id, known.name, number)
    manifest = _readable(read_manifest, store, prefix) if f"{prefix}/{MANIFEST}" in keys else None
    claim, record = _readable(read_claim, store, prefix), _readable(read_exit_record, store, prefix)
    if manifest is not None:
        told = _success(known, number, record)
    else:
        told = _told(_verdict(store, prefix, known, number, record), known)
    attempt = Attempt(
        number=number,
        **told,
        started_at=_start(claim),
        finished_at=_end(manifest, record),
        peak_pss_bytes=record.peak_pss_bytes if record else 0,
        hostname=_host(claim),
        tracking_run=_tracking_run(store, keys, prefix, manifest),
        uri=store.uri(prefix),
    )
    return attempt, manifest


def reused_attempt(store: ArtifactStore, manifest: Manifest, uri: str) -> Attempt:
    """The one that made an output for an earlier run. `store`: its root is the attempt."""
    claim, record = _readable(read_claim, store, ""), _readable(read_exit_record, store, "")
    return Attempt(
        number=manifest.attempt,
        state=AttemptState.SUCCEEDED,
        reason="Reused",
        message=f"made by run {manifest.run_id}",
        started_at=_start(claim),
        finished_at=_end(manifest, record),
        peak_pss_bytes=record.peak_pss_bytes if record else 0,
        tracking_run=manifest.tracking.get("run_id", ""),
        uri=uri,
    )


def _verdict(
    store: ArtifactStore, prefix: str, known: KnownStage, number: int, record: ExitRecord | None
) -> AttemptVerdict | None:
    """How an attempt without an output ended; None while it runs."""
    verdict = _readable(read_verdict, store, prefix)
    is_latest = number == known.attempt and known.state in _ACTIVE
    if verdict is None and record is None and is_latest and _readable(read_revocation, store, prefix) is None:
        return None
    return verdict or provisional_verdict(record)


def _success(known: KnownStage, number: int, record: ExitRecord | None) -> dict[str, Any]:
    """State, reason, message and exit code of an attempt with an output."""
    # A gate was not met, or somebody has to approve.
    is_held = number == known.attempt and known.state in ("Failed", "AwaitingApproval")
    held = {"reason": known.reason, "message": known.message} if is_held else {}
    return {"state": AttemptState.SUCCEEDED, "exit_code": record.exit_code if record else None, **held}


def _told(verdict: AttemptVerdict | None, known: KnownStage) -> dict[str, Any]:
    """The same of one without an output, or that runs."""
    if verdict is None:
        return {"state": AttemptState.RUNNING, "message": known.progress}
    return {**verdict.model_dump(exclude={"version"}), "state": AttemptState(verdict.state)}


def _tracking_run(store: ArtifactStore, keys: Collection[str], prefix: str, manifest: Manifest | None) -> str:
    """By the manifest, or by the journal once the server has all of it; "" = none is known."""
    journal = join(prefix, JOURNAL_DIR)
    if manifest is not None:
        return manifest.tracking.get("run_id", "")
    return run_sent_to(store, journal) if join(journal, SENT) in keys else ""


def _readable(read: Callable[[ArtifactStore, str], R | None], store: ArtifactStore, prefix: str) -> R | None:
    """None for a damaged record too: what else the attempt left is still shown."""
    try:
        return read(store, prefix)
    except InputError as error:
        logger.warning("left out of the report: %s", error)
        return None


def _start(claim: Claim | None) -> datetime | None:
    """Of the process that claimed it, which is some time before the claim."""
    if claim is not None and claim.process_start_time_s > 0:
        return datetime.fromtimestamp(claim.process_start_time_s, UTC)
    return _time(claim.created_at if claim else "")


def _end(manifest: Manifest | None, record: ExitRecord | None) -> datetime | None:
    return _time(record.finished_at if record else "") or _time(manifest.finished_at if manifest else "")


def _host(claim: Claim | None) -> str:
    return claim.hostname if claim else ""


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
