"""Runs as their processes leave them in a store: claims, exit records, journals, published outputs."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mimo_vl.schema.manifest import Claim, ExitRecord, InputRef, Manifest
from mimo_vl.storage import ArtifactStore
from mimo_vl.storage.artifacts import publish_directory
from mimo_vl.storage.attempts import claim_attempt, write_exit_record
from mimo_vl.storage.layout import attempt_prefix, node_log_key
from mimo_vl.tracking.journal import JournalEntry, metrics_entry

START = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


class RunStore:
    """Every attempt begins `minute` minutes after START and takes one."""

    def __init__(self, store: ArtifactStore, run_id: str = "local/demo/01234567") -> None:
        self.store, self.run_id = store, run_id
        self._minute = 0

    def pause(self, *, minutes: int) -> None:
        """Before the next attempt; negative = it begins together with the one before."""
        self._minute += minutes

    def attempt(
        self,
        stage: str,
        number: int = 1,
        *,
        metrics: Sequence[tuple[int, Mapping[str, float]]] = (),
        record: ExitRecord | None = None,
        log: str = "",
        started_before_claim_s: float = 0.0,
    ) -> str:
        """Claim, journal and, if it could still say something, exit record; returns the key prefix."""
        prefix = attempt_prefix(self.run_id, stage, number)
        began = START + timedelta(minutes=self._minute)
        self._minute += 1
        started_s = began.timestamp() - started_before_claim_s if started_before_claim_s else 0.0
        claim = Claim(owner="o", hostname="node-a", pid=7, created_at=began.isoformat(), process_start_time_s=started_s)
        claim_attempt(self.store, prefix, claim)
        if metrics:
            time_ms = int((began + timedelta(seconds=30)).timestamp() * 1000)
            entries = [JournalEntry(kind="start", name=f"{stage}-{number}", time_ms=time_ms)]
            entries += [metrics_entry(values, step, time_ms) for step, values in metrics]
            lines = b"".join(entry.to_json() + b"\n" for entry in entries)
            self.store.put_bytes(f"{prefix}/journal/chunk-00000.jsonl", lines)
        if record is not None:
            finished = (began + timedelta(minutes=1)).isoformat()
            write_exit_record(self.store, prefix, record.model_copy(update={"finished_at": finished}))
        if log:
            self.store.put_bytes(node_log_key(prefix, 0), log.encode())
        return prefix

    def succeeded(
        self,
        stage: str,
        number: int = 1,
        *,
        files: Mapping[str, bytes] | None = None,
        inputs: Mapping[str, InputRef] | None = None,
        results: Mapping[str, float] | None = None,
        metrics: Sequence[tuple[int, Mapping[str, float]]] = (),
        log: str = "",
    ) -> InputRef:
        """An attempt with its output."""
        record = ExitRecord(exit_code=0, reason="Completed", peak_pss_bytes=2**30)
        prefix = self.attempt(stage, number, metrics=metrics, record=record, log=log)
        manifest = self._publish(prefix, stage, number, files or {f"{stage}.txt": stage.encode()}, inputs, results)
        return InputRef(uri=self.store.uri(prefix), digest=manifest.content_digest)

    def failed(self, stage: str, number: int = 1, *, message: str = "boom", **journal: object) -> str:
        record = ExitRecord(exit_code=1, reason="RuntimeError", message=message)
        return self.attempt(stage, number, record=record, **journal)  # type: ignore[arg-type]

    def _publish(
        self,
        prefix: str,
        stage: str,
        number: int,
        files: Mapping[str, bytes],
        inputs: Mapping[str, InputRef] | None,
        results: Mapping[str, float] | None,
    ) -> Manifest:
        with tempfile.TemporaryDirectory() as folder:
            for path, data in files.items():
                target = Path(folder) / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
            return publish_directory(
                self.store,
                prefix,
                Path(folder),
                stage=stage,
                attempt=number,
                run_id=self.run_id,
                stage_key=f"sha256:key-{stage}",
                inputs=dict(inputs or {}),
                metrics=dict(results or {}),
                code_digest="sha256:code",
            )


def curation_report(**datasets: Mapping[str, object]) -> bytes:
    return json.dumps({"datasets": datasets}).encode()
