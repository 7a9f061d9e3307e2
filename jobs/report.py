"""Write report.html of a run folder anew, with times and addresses: `python -m jobs.report runs/demo`."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from mimo_vl.errors import InputError, MimoError
from mimo_vl.evaluation.collect import collect, open_output
from mimo_vl.evaluation.report import RunFacts, render_report
from mimo_vl.schema.evaluation import StageSummary, Summary
from operators.mimo_pipeline.local.state import RunFolder
from operators.mimo_pipeline.local.summary import REPORT, StageRow, read_summary, stage_rows

logger = logging.getLogger(__name__)


def rebuild_report(run_dir: Path) -> Path:
    """Returns the path of the report.

    Raises:
        InputError: no pipeline in the folder, or it has not ended yet.
    """
    folder = RunFolder(run_dir)
    pipeline = folder.load()
    found = read_summary(folder)
    if found is None:
        raise InputError(f"--run-dir: {run_dir} has no summary.json yet; it is written when the run has ended")
    summary = Summary.model_validate({**found, "mean_reward": found.get("mean_reward") or {}})
    rows = stage_rows(pipeline.status)
    material = collect({row.name: open_output(row.uri) for row in rows if row.uri})
    facts = RunFacts(
        title=f"MiMo-VL, run {pipeline.metadata.name}",
        total_seconds=summary.total_seconds,
        peak_pss_bytes=summary.peak_pss_bytes,
    )
    digests = {name: output.manifest.content_digest for name, output in material.stages.items()}
    stages = [_stage(row, digests.get(row.name, "")) for row in rows]
    path = folder.path / REPORT
    path.write_text(render_report(material, stages, facts), encoding="utf-8")
    return path


def _stage(row: StageRow, digest: str) -> StageSummary:
    return StageSummary(
        name=row.name,
        status=row.status,
        seconds=row.seconds,
        tokens=row.tokens,
        loss_first=row.loss_first,
        loss_last=row.loss_last,
        reused=row.reused,
        steps=row.steps,
        tokens_per_second=row.tokens_per_s,
        uri=row.uri,
        digest=digest,
        mlflow_run=row.tracking_run,
    )


def main(arguments: list[str]) -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if len(arguments) != 1:
        logger.error("usage: python -m jobs.report RUN_DIR; got %d arguments", len(arguments))
        return 2
    try:
        logger.info("report: %s", rebuild_report(Path(arguments[0])))
    except MimoError as error:
        logger.error("%s", error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
