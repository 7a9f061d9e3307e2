"""What is left at the end: summary.json and report.html in the run folder, and the two tables.

finalize writes what it can know from artifacts; status, seconds, reuse, total time and memory are known here.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mimo_vl.errors import InputError
from mimo_vl.schema.manifest import Manifest
from mimo_vl.storage.artifacts import read_manifest
from mimo_vl.storage.layout import OUTPUT_DIR, join
from mimo_vl.storage.store import ArtifactStore, store_for_uri
from mimo_vl.vocabulary import StageName
from operators.mimo_pipeline.api import MimoPipelineStatus, StageStatus
from operators.mimo_pipeline.local.state import RunFolder, write_atomically

logger = logging.getLogger(__name__)

SUMMARY, REPORT = "summary.json", "report.html"


@dataclass(frozen=True, kw_only=True)
class StageRow:
    """One line of the stage table. None where a stage has no such figure."""

    name: str
    status: str
    seconds: float
    """Of all its attempts, the start of their processes included; 0 if its output is reused."""
    reused: bool
    steps: int | None
    tokens: int | None
    loss_first: float | None
    loss_last: float | None
    uri: str
    tracking_run: str

    @property
    def tokens_per_s(self) -> float | None:
        return self.tokens / self.seconds if self.tokens and self.seconds > 0 and not self.reused else None

    def to_summary(self) -> dict[str, Any]:
        kept = ("name", "status", "seconds", "tokens", "loss_first", "loss_last", "reused")
        return {name: getattr(self, name) for name in kept}


def stage_rows(status: MimoPipelineStatus, seconds: Mapping[str, float]) -> list[StageRow]:
    """`seconds`: stage -> how long its attempts took. Of a stage without them, pauses between attempts count too."""
    return [_row(stage, _seconds(stage, seconds)) for stage in status.stages]


def _seconds(stage: StageStatus, seconds: Mapping[str, float]) -> float:
    if stage.reused or stage.started_at is None or stage.finished_at is None:
        return 0.0
    return seconds.get(stage.name, (stage.finished_at - stage.started_at).total_seconds())


def _row(stage: StageStatus, seconds: float) -> StageRow:
    manifest = _manifest(stage)
    metrics = dict(manifest.metrics) if manifest else {}
    return StageRow(
        name=stage.name,
        status=str(stage.state),
        seconds=round(seconds, 3),
        reused=stage.reused,
        steps=_whole(metrics.get("steps")),
        tokens=_whole(metrics.get("tokens")),
        loss_first=metrics.get("loss_first"),
        loss_last=metrics.get("loss_last"),
        uri=stage.output_uri,
        tracking_run=(manifest.tracking.get("run_id", "") if manifest else ""),
    )


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _manifest(stage: StageStatus) -> Manifest | None:
    if not stage.output_uri:
        return None
    try:
        return read_manifest(store_for_uri(stage.output_uri), "")
    except InputError as error:
        logger.warning("stage %s: %s", stage.name, error)
        return None


def write_summary(
    folder: RunFolder,
    status: MimoPipelineStatus,
    rows: Sequence[StageRow],
    *,
    total_seconds: float | None,
    peak_pss_bytes: int,
) -> dict[str, Any]:
    """Copy report.html, complete summary.json, return its content. Without finalize there are stages only.

    `total_seconds`: None where no attempt has left times.
    """
    summary = _from_finalize(folder, status)
    summary["stages"] = [row.to_summary() for row in rows]
    summary["total_seconds"] = None if total_seconds is None else round(total_seconds, 3)
    summary["peak_pss_bytes"] = peak_pss_bytes
    write_atomically(folder.path / SUMMARY, json.dumps(summary, indent=1, ensure_ascii=False) + "\n")
    return summary


def _from_finalize(folder: RunFolder, status: MimoPipelineStatus) -> dict[str, Any]:
    empty: dict[str, Any] = {"stages": [], "families": [], "mean_reward": None}
    stage = next((s for s in status.stages if s.name == StageName.FINALIZE), None)
    if stage is None or not stage.output_uri:
        return empty
    store = store_for_uri(stage.output_uri)
    report = _bytes_of(store, REPORT)
    if report is not None:
        write_atomically(folder.path / REPORT, report.decode())
    found = _bytes_of(store, SUMMARY)
    return {**empty, **json.loads(found)} if found is not None else empty


def _bytes_of(store: ArtifactStore, name: str) -> bytes | None:
    try:
        return store.get_bytes(join(OUTPUT_DIR, name))[0]
    except InputError:
        logger.warning("finalize left no %s", name)
        return None


def read_summary(folder: RunFolder) -> Mapping[str, Any] | None:
    path = folder.path / SUMMARY
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
