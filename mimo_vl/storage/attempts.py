"""How one process owns an attempt: claim and revocation; the small records that it and its controller leave."""

from __future__ import annotations

import contextlib
from typing import TypeVar

from pydantic import ValidationError

from mimo_vl.errors import ArtifactNotFoundError, AttemptClaimedError, CorruptDataError, PreconditionFailedError
from mimo_vl.schema.manifest import Claim, ExitRecord, Progress, Revocation
from mimo_vl.schema.record import Record
from mimo_vl.schema.verdict import AttemptVerdict
from mimo_vl.storage.layout import CLAIM, EXIT, PROGRESS, REVOKED, VERDICT, join
from mimo_vl.storage.store import ArtifactStore

R = TypeVar("R", bound=Record)


def claim_attempt(store: ArtifactStore, attempt: str, claim: Claim) -> None:
    """Create claim.json; the first process wins.

    Raises:
        AttemptClaimedError: another process owns this attempt; write nothing.
    """
    try:
        store.put_bytes(join(attempt, CLAIM), claim.to_json(), if_none_match=True)
    except PreconditionFailedError as error:
        owner = read_claim(store, attempt)
        by = f"pid {owner.pid} on {owner.hostname} at {owner.created_at}" if owner else "another process"
        raise AttemptClaimedError(f"attempt {store.uri(attempt)} is claimed by {by}; nothing was written") from error


def require_claim(store: ArtifactStore, attempt: str, owner: str) -> None:
    """Raises AttemptClaimedError unless claim.json names this owner."""
    claim = read_claim(store, attempt)
    if claim is None or claim.owner != owner:
        got = "nobody" if claim is None else f"{claim.owner} (pid {claim.pid} on {claim.hostname})"
        raise AttemptClaimedError(f"attempt {store.uri(attempt)} is claimed by {got}, wanted {owner}; nothing written")


def read_claim(store: ArtifactStore, attempt: str) -> Claim | None:
    return _read(store, join(attempt, CLAIM), Claim)


def require_not_revoked(store: ArtifactStore, attempt: str) -> None:
    """Raises AttemptClaimedError if the controller gave the attempt up: a later one may be running."""
    revocation = read_revocation(store, attempt)
    if revocation is not None:
        raise AttemptClaimedError(f"attempt {store.uri(attempt)} was revoked ({revocation.reason}); not published")


def revoke_attempt(store: ArtifactStore, attempt: str, revocation: Revocation) -> None:
    store.put_bytes(join(attempt, REVOKED), revocation.to_json())


def read_revocation(store: ArtifactStore, attempt: str) -> Revocation | None:
    return _read(store, join(attempt, REVOKED), Revocation)


def write_progress(store: ArtifactStore, attempt: str, progress: Progress) -> None:
    store.put_bytes(join(attempt, PROGRESS), progress.to_json())


def read_progress(store: ArtifactStore, attempt: str) -> Progress | None:
    return _read(store, join(attempt, PROGRESS), Progress)


def write_exit_record(store: ArtifactStore, attempt: str, record: ExitRecord) -> None:
    store.put_bytes(join(attempt, EXIT), record.to_json())


def read_exit_record(store: ArtifactStore, attempt: str) -> ExitRecord | None:
    return _read(store, join(attempt, EXIT), ExitRecord)


def conclude_attempt(store: ArtifactStore, attempt: str, verdict: AttemptVerdict) -> None:
    """Create verdict.json. The first verdict stands: a controller that judges again changes nothing."""
    with contextlib.suppress(PreconditionFailedError):
        store.put_bytes(join(attempt, VERDICT), verdict.to_json(), if_none_match=True)


def read_verdict(store: ArtifactStore, attempt: str) -> AttemptVerdict | None:
    return _read(store, join(attempt, VERDICT), AttemptVerdict)


def _read(store: ArtifactStore, key: str, kind: type[R]) -> R | None:
    try:
        data, _ = store.get_bytes(key)
    except ArtifactNotFoundError:
        return None
    try:
        return kind.from_json(data)
    except ValidationError as error:
        raise CorruptDataError(f"{store.uri(key)} is no {kind.__name__}: {error}") from error
