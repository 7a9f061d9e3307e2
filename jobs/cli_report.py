"""`mimo report`: the tables of a page, and where it is."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from jobs.cli_output import Format, print_json, wide_console
from mimo_vl.evaluation.summary import build_summary
from mimo_vl.reporting.run import Run, Stage
from mimo_vl.reporting.stage_graph import shown_duration
from operators.mimo_pipeline.local.tables import result_table

_NONE = "–"


def print_report(run: Run, path: Path, output: Format) -> None:
    if output == Format.JSON:
        print_json({"report": str(path), **run_facts(run)})
        return
    console = wide_console()
    console.print(attempts_table(run))
    results = result_table(build_summary(run.material).model_dump(mode="json"))
    if results is not None:
        console.print(results)
    _say_where(console, path)


def run_facts(run: Run) -> dict[str, object]:
    """For programs: where every stage and attempt stands, and what was evaluated."""
    summary = build_summary(run.material).model_dump(mode="json")
    return {
        "run": run.run_id,
        "phase": run.phase,
        "profile": run.profile,
        "total_seconds": run.total_seconds,
        "peak_pss_bytes": run.peak_pss_bytes,
        "code_digest": run.environment.code_digest,
        "stages": [_stage_facts(stage) for stage in run.stages],
        "families": summary["families"],
        "mean_reward": summary["mean_reward"],
    }


def attempts_table(run: Run) -> Table:
    table = Table(title=f"{run.run_id}  {run.phase}", title_justify="left")
    for heading in ("stage", "attempt", "state"):
        table.add_column(heading, no_wrap=True)
    table.add_column("time", justify="right", no_wrap=True)
    table.add_column("loss first → last", justify="right", no_wrap=True)
    table.add_column("why", overflow="fold")
    table.add_column("digest", no_wrap=True)
    for stage in run.stages:
        if not stage.attempts:
            table.add_row(stage.name, _NONE, stage.state, _NONE, _NONE, stage.known.reason, _NONE)
        for attempt in stage.attempts:
            is_output = stage.output is not None and attempt.number == stage.output.manifest.attempt
            table.add_row(
                stage.name,
                str(attempt.number),
                str(attempt.state),
                shown_duration(attempt.seconds),
                _losses(stage) if is_output else _NONE,
                ": ".join(part for part in (attempt.reason, attempt.message) if part),
                stage.digest[:19] if is_output else _NONE,
            )
    return table


def _stage_facts(stage: Stage) -> dict[str, object]:
    attempts = [
        {
            "attempt": a.number,
            "state": str(a.state),
            "reason": a.reason,
            "message": a.message,
            "seconds": a.seconds,
            "exit_code": a.exit_code,
            "uri": a.uri,
        }
        for a in stage.attempts
    ]
    return {
        "name": stage.name,
        "state": stage.state,
        "digest": stage.digest,
        "uri": stage.uri,
        "seconds": stage.seconds,
        "metrics": dict(stage.metrics),
        "attempts": attempts,
    }


def _losses(stage: Stage) -> str:
    metrics = stage.metrics
    if "loss_first" not in metrics or "loss_last" not in metrics:
        return _NONE
    return f"{metrics['loss_first']:.3f} → {metrics['loss_last']:.3f}"


def _say_where(console: Console, path: Path) -> None:
    console.print(f"report: open {path.as_uri()} in a browser", markup=False, highlight=False, soft_wrap=True)
