"""What attempts left in the store, and what the controller leaves with them. Of a finished attempt it is read once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

from mimo_vl.errors import InputError
from mimo_vl.schema.manifest import Revocation
from mimo_vl.schema.verdict import AttemptVerdict
from mimo_vl.storage.artifacts import read_manifest
from mimo_vl.storage.attempts import (
    conclude_attempt,
    read_claim,
    read_exit_record,
    read_progress,
    read_verdict,
    revoke_attempt,
)
from mimo_vl.storage.checkpoints import complete_steps
from mimo_vl.storage.layout import CHECKPOINTS_DIR, MANIFEST, REVOKED, attempt_prefix, join
from mimo_vl.storage.store import ArtifactStore
from operators.mimo_pipeline.cluster_observation import StoreEvidence
from operators.mimo_pipeline.plan import Output
from operators.mimo_pipeline.tracking_page import tracking_page

logger = logging.getLogger(__name__)

T = TypeVar("T")


class EvidenceReader:
    """For one run. Raises StorageError when the store does not answer: nothing is judged without it."""

    def __init__(self, store: ArtifactStore, run_id: str) -> None:
        self._store, self._run_id = store, run_id
        self._final: dict[tuple[str, int], StoreEvidence] = {}
        self._output_seen_at: dict[tuple[str, int], datetime] = {}

    def of_living(self, stage: str, attempt: int, *, with_claim: bool) -> StoreEvidence:
        """Progress and output; the claim only where somebody asks."""
        prefix = self._prefix(stage, attempt)
        output = self._output(prefix)
        return StoreEvidence(
            claim_key=self._claim_key(prefix) if with_claim else None,
            output=output,
            output_seen_at=self._seen_at(stage, attempt) if output else None,
            progress=_readable(lambda: read_progress(self._store, prefix)),
        )

    def of_ended(self, stage: str, attempt: int) -> StoreEvidence:
        """Everything. Call it only after no process of the attempt was left."""
        name = (stage, attempt)
        if name not in self._final:
            prefix = self._prefix(stage, attempt)
            steps = complete_steps(self._store, join(prefix, CHECKPOINTS_DIR))
            self._final[name] = StoreEvidence(
                claim_key=self._claim_key(prefix),
                output=self._output(prefix),
                exit_record=_readable(lambda: read_exit_record(self._store, prefix)),
                progress=_readable(lambda: read_progress(self._store, prefix)),
                checkpoint_step=steps[-1] if steps else None,
                is_revoked=self._store.exists(join(prefix, REVOKED)),
                verdict=_readable(lambda: read_verdict(self._store, prefix)),
            )
        return self._final[name]

    def revoke(self, stage: str, attempt: int, reason: str) -> None:
        """From now on the attempt may publish nothing: it need not be waited for."""
        prefix = self._prefix(stage, attempt)
        if not self._store.exists(join(prefix, REVOKED)):
            now = datetime.now(UTC).isoformat(timespec="seconds")
            revoke_attempt(self._store, prefix, Revocation(reason=reason, created_at=now))
            logger.warning("revoked stage=%s attempt=%d: %s", stage, attempt, reason)

    def conclude(self, stage: str, attempt: int, verdict: AttemptVerdict) -> None:
        """Leave the verdict with the attempt; the first one stands, and is what later rounds read."""
        conclude_attempt(self._store, self._prefix(stage, attempt), verdict)
        self.forget(stage, attempt)

    def tracking_url(self) -> str:
        """Page of the parent run in the tracking server; empty until a stage has made the run."""
        return tracking_page(self._store, self._run_id)

    def forget(self, stage: str, attempt: int) -> None:
        """Read anew next time."""
        self._final.pop((stage, attempt), None)

    def _prefix(self, stage: str, attempt: int) -> str:
        return attempt_prefix(self._run_id, stage, attempt)

    def _seen_at(self, stage: str, attempt: int) -> datetime:
        return self._output_seen_at.setdefault((stage, attempt), datetime.now(UTC))

    def _claim_key(self, prefix: str) -> str | None:
        claim = _readable(lambda: read_claim(self._store, prefix))
        return None if claim is None else claim.stage_key

    def _output(self, prefix: str) -> Output | None:
        if not self._store.exists(join(prefix, MANIFEST)):
            return None
        manifest = _readable(lambda: read_manifest(self._store, prefix))
        if manifest is None:
            return None
        return Output(
            uri=self._store.uri(prefix),
            digest=manifest.content_digest,
            key=manifest.stage_key,
            metrics=manifest.metrics,
        )


def _readable(read: Callable[[], T | None]) -> T | None:
    """A damaged record counts as none: an output that cannot be read does not exist."""
    try:
        return read()
    except InputError as error:
        logger.error("unusable record: %s", error)
        return None
