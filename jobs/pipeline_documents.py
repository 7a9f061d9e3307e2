"""What a pipeline's run in the tracking server shows once all has ended: stages, lineage, report, results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jobs.registered_model import MODEL_ALIASES, model_version
from jobs.stage_context import StageContext
from mimo_vl.evaluation.collect import StageOutput
from mimo_vl.observability import metrics as names
from mimo_vl.reporting.run import Attempt, Run, Stage
from mimo_vl.storage.layout import OUTPUT_DIR
from mimo_vl.tracking import Target
from mimo_vl.tracking.mlmodel import CARD, without_front_matter
from mimo_vl.tracking.tables import table_json
from mimo_vl.vocabulary import StageName

_MODEL_DIR = "model"


def log_pipeline(ctx: StageContext, run: Run, report: Path) -> None:
    """By `finalize`, from what it has read and written."""
    tracker = ctx.tracker
    tracker.log_artifact("stages.json", table_json(stage_rows(run)), is_table=True, target=Target.PIPELINE)
    tracker.log_artifact("lineage.json", lineage_json(run), target=Target.PIPELINE)
    tracker.log_artifact("report.html", report.read_bytes(), target=Target.PIPELINE)
    tracker.log_pipeline_metrics(headline(run))
    for stage in run.stages:
        if stage.known.reused and stage.output is not None and stage.name in MODEL_ALIASES:
            _register_reused(ctx, StageName(stage.name), stage.output)


def stage_rows(run: Run) -> list[dict[str, Any]]:
    """A row per attempt; one for a stage whose output an earlier run made."""
    rows: list[dict[str, Any]] = []
    for stage in run.stages:
        rows += [_attempt_row(stage, attempt) for attempt in stage.attempts]
        if stage.known.reused:
            rows.append({"stage": stage.name, "state": stage.state, "digest": stage.digest, "uri": stage.uri})
    return rows


def _attempt_row(stage: Stage, attempt: Attempt) -> dict[str, Any]:
    return {
        "stage": stage.name,
        "attempt": attempt.number,
        "state": str(attempt.state),
        "reason": attempt.reason,
        "message": attempt.message,
        "started_at": attempt.started_at.isoformat() if attempt.started_at else "",
        "seconds": attempt.seconds,
        "digest": stage.digest if attempt.uri == stage.uri else "",
        "uri": attempt.uri,
        "tracking_run": attempt.tracking_run,
    }


def lineage_json(run: Run) -> bytes:
    """Digest -> the artifact and the digests that it was made from, up to the sources."""
    artifacts = {
        artifact.digest: {
            "name": artifact.name,
            "uri": artifact.uri,
            "stage": artifact.stage,
            "run_id": artifact.run_id,
            "code_digest": artifact.code_digest,
            "config_digest": artifact.config_digest,
            "size_bytes": artifact.size_bytes,
            "inputs": {name: ref.digest for name, ref in sorted(artifact.inputs.items())},
        }
        for artifact in run.artifacts
    }
    return json.dumps(artifacts, indent=1, sort_keys=True).encode()


def headline(run: Run) -> dict[str, float]:
    """What runs are compared by: evaluation and losses, by stage."""
    values: dict[str, float] = {}
    for stage in run.stages:
        metrics = stage.metrics
        values |= {name: value for name, value in metrics.items() if name.startswith(names.MEAN_REWARD.of(""))}
        for name in ("loss_last", "pairwise_accuracy", "reward_last"):
            if name in metrics:
                values[f"{name}/{stage.name}"] = metrics[name]
    return values


def _register_reused(ctx: StageContext, stage: StageName, output: StageOutput) -> None:
    """The stage has no process in this run that could register it."""
    card = output.read(f"{_MODEL_DIR}/{CARD}")
    if card is None:
        return
    uri = f"{output.uri.rstrip('/')}/{OUTPUT_DIR}/{_MODEL_DIR}"
    made = output.manifest
    version = model_version(
        ctx.config,
        stage=stage,
        run_id=made.run_id,
        uri=uri,
        digest=made.content_digest,
        card=without_front_matter(card.decode()),
    )
    ctx.tracker.register_model(version)
