"""Stage `finalize`, also after a failure: send what tracking missed, write report.html and summary.json."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from jobs.pipeline_documents import log_pipeline
from jobs.run_source import PLACES
from jobs.runtime import run_stage
from jobs.stage_context import StageContext
from mimo_vl.config.pipeline import PipelineConfig
from mimo_vl.errors import InputError
from mimo_vl.evaluation.collect import StageOutput, collect, open_output
from mimo_vl.evaluation.summary import build_summary, summary_text
from mimo_vl.reporting.page import render_artifact_page
from mimo_vl.reporting.read import Source, read_run
from mimo_vl.reporting.run import Environment, KnownStage, Run
from mimo_vl.storage import store_for_uri
from mimo_vl.storage.layout import run_prefix
from mimo_vl.tracking import RunStatus, replay_journals
from mimo_vl.vocabulary import StageName

logger = logging.getLogger(__name__)


def main(ctx: StageContext) -> Mapping[str, float]:
    outputs = _outputs(ctx)
    unfinished = [name for name in _started_stages(ctx) if name not in outputs]
    material = collect(outputs)
    summary = build_summary(material, unfinished=unfinished)
    (ctx.out_dir / "summary.json").write_text(summary_text(summary), encoding="utf-8")
    # Nothing that depends on when or where the run was: `mimo report` writes the same page with times and addresses.
    run, report = read_run(_source(ctx, unfinished)), ctx.out_dir / "report.html"
    report.write_text(render_artifact_page(run), encoding="utf-8")
    _finish_tracking(ctx, run, report, RunStatus.FAILED if unfinished else RunStatus.FINISHED)
    return {"stages": float(len(outputs)), "unfinished": float(len(unfinished))}


def _outputs(ctx: StageContext) -> dict[str, StageOutput]:
    """A damaged artifact is left out with a warning: the report of the others is still wanted."""
    outputs = {}
    for name, ref in sorted(ctx.inputs.items()):
        try:
            outputs[name] = open_output(ref.uri, ctx.config.storage)
        except InputError as error:
            logger.warning("stage %s is missing in the report: %s", name, error)
    return outputs


def _started_stages(ctx: StageContext) -> list[str]:
    """Stages of this run that have claimed an attempt, this one left out."""
    prefix = run_prefix(ctx.run_id) + "/"
    names = {o.key.removeprefix(prefix).split("/")[0] for o in ctx.store.list(prefix) if o.key.endswith("/claim.json")}
    return sorted(names - {str(StageName.FINALIZE)})


def _source(ctx: StageContext, unfinished: Sequence[str]) -> Source:
    """As this stage knows the run: by its inputs, some of which an earlier run made, and what was started in vain."""
    own = f"/{run_prefix(ctx.run_id)}/"
    known = [
        KnownStage(name=name, state="Succeeded", output_uri=ref.uri, reused=own not in ref.uri)
        for name, ref in ctx.inputs.items()
    ]
    known += [KnownStage(name=name, state="Failed") for name in unfinished if name not in ctx.inputs]
    order = {str(name): position for position, name in enumerate(StageName)}
    return Source(
        store=ctx.store,
        run_id=ctx.run_id,
        open_store=lambda uri: store_for_uri(uri, ctx.config.storage),
        known=sorted(known, key=lambda stage: (order.get(stage.name, len(order)), stage.name)),
        title=f"MiMo-VL, profile {ctx.config.profile}",
        profile=ctx.config.profile,
        environment=Environment(config=_result_config(ctx.config), code_digest=ctx.code_digest),
    )


def _result_config(config: PipelineConfig) -> dict[str, Any]:
    """Without addresses of stores and servers."""
    values: dict[str, Any] = TypeAdapter(PipelineConfig).dump_python(config, mode="json")
    return {name: value for name, value in values.items() if name not in PLACES}


def _finish_tracking(ctx: StageContext, run: Run, report: Path, status: RunStatus) -> None:
    log_pipeline(ctx, run, report)
    tracking, prefix = ctx.config.tracking, run_prefix(ctx.run_id)
    replay_journals(tracking, uri=ctx.tracking_uri, store=ctx.store, run=prefix, skip_attempt=ctx.attempt_prefix)
    ctx.tracker.finish_pipeline(status)


if __name__ == "__main__":
    sys.exit(run_stage(main))
