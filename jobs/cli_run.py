"""What `mimo run` does: resolve the request, take control of the folder, run the loop, show what came out."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter
from rich.console import Console

from jobs.cli_output import wide_console
from jobs.cli_program import command, go_on, short
from mimo_vl.config.compose import compose
from mimo_vl.config.pipeline import PipelineConfig, stage_config_digest
from mimo_vl.errors import EXIT_DONE, EXIT_RESUME, EXIT_RETRY, MimoError
from mimo_vl.observability.prometheus import serve_metrics
from mimo_vl.rewards.verifiers.custom import load_custom_verifier
from mimo_vl.vocabulary import StageName
from operators.mimo_pipeline.api import MimoPipelineSpec, MimoPipelineStatus, Phase, PipelineRuntime, StageState
from operators.mimo_pipeline.builders.process import STAGE_MODULES
from operators.mimo_pipeline.code_digest import code_digest, project_root
from operators.mimo_pipeline.local.begin import Wanted, begin
from operators.mimo_pipeline.local.display import build_display
from operators.mimo_pipeline.local.runner import LocalRunner
from operators.mimo_pipeline.local.state import RunFolder
from operators.mimo_pipeline.local.summary import REPORT, StageRow, stage_rows, write_summary
from operators.mimo_pipeline.local.tables import duration, result_table, stage_table
from operators.mimo_pipeline.naming import ANNOTATION_RUN_OPTIONS
from operators.mimo_pipeline.profile_graph import graph_of
from operators.mimo_pipeline.stage_graph import only, up_to

if TYPE_CHECKING:
    from mimo_vl.reporting.run import Run

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    profile: str
    run_dir: Path
    overrides: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()
    through: str = ""
    source_root: Path = field(default_factory=project_root)
    """Folder whose sources and lock files make the code digest."""

    @property
    def options(self) -> str:
        """For the shell: what the user gave besides the folder."""
        words = ["--profile", self.profile, *(word for o in self.overrides for word in ("--override", o))]
        words += ["--stages", ",".join(self.stages)] if self.stages else []
        words += ["--through", self.through] if self.through else []
        return shlex.join(words)


def resolve(request: RunRequest) -> tuple[PipelineConfig, Wanted]:
    """Raises ConfigError for every wrong key and stage name before anything starts."""
    config = compose(request.profile, request.overrides)
    load_custom_verifier(config.rewards)
    graph = graph_of(config)
    if request.stages:
        graph = only(graph, request.stages)
    if request.through:
        graph = up_to(graph, request.through)
    spec = MimoPipelineSpec(profile=request.profile, overrides=request.overrides, stages=tuple(graph))
    runtime = PipelineRuntime(
        config=TypeAdapter(PipelineConfig).dump_python(config, mode="json"),
        config_digests={s.name: stage_config_digest(config, StageName(s.name)) for s in graph},
        code_digest=code_digest(request.source_root),
    )
    return config, Wanted(spec=spec, runtime=runtime, annotations={ANNOTATION_RUN_OPTIONS: request.options})


def run_pipeline(
    request: RunRequest, *, console: Console | None = None, modules: Mapping[str, str] = STAGE_MODULES
) -> int:
    """Exit code: 0 all stages succeeded, 1 one failed or it was cancelled, 75 stopped on request.

    `modules`: Python module of each stage's process.
    """
    console = console or wide_console()
    config, wanted = resolve(request)
    folder = RunFolder(request.run_dir)
    with folder.control():
        pipeline = begin(folder, wanted)
        display = build_display(console)
        runner = LocalRunner(
            folder=folder, pipeline=pipeline, config=config, runtime=wanted.runtime, display=display, modules=modules
        )
        if config.observability.metrics_port:
            serve_metrics(runner.metrics.registry, [config.observability.metrics_port])
        try:
            status = runner.run()
        finally:
            display.close()
        return _conclude(console, runner, status)


def _conclude(console: Console, runner: LocalRunner, status: MimoPipelineStatus) -> int:
    folder = runner.folder
    if status.phase not in (Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED):
        again = go_on(runner.pipeline, folder.path)
        console.print(f"stopped; go on with: {again}", markup=False, highlight=False, soft_wrap=True)
        return EXIT_RESUME
    run = _read_run(folder)
    total_s = run.total_seconds if run else None
    peak = max(runner.peak_pss_bytes(status), run.peak_pss_bytes if run else 0)
    took_s = {s.name: s.seconds for s in run.stages if s.seconds is not None} if run else {}
    rows = stage_rows(status, took_s)
    summary = write_summary(folder, status, rows, total_seconds=total_s, peak_pss_bytes=peak)
    if run is not None:
        from jobs.report import write_page

        # Over the copy of finalize's, which has no times and addresses, since artifacts must not depend on them.
        write_page(run, folder.path / REPORT)
    show_end(console, folder, status, rows, summary)
    took = f"total {duration(total_s)}, " if total_s is not None else ""
    console.print(f"{took}at most {peak / 2**30:.2f} GiB (PSS of all processes)", highlight=False)
    if runner.config.tracking.kind == "mlflow" and not runner.config.tracking.uri:
        page = command("mlflow", short(folder.path))
        console.print(f"MLflow: {page}", markup=False, highlight=False, soft_wrap=True)
    return EXIT_DONE if status.phase == Phase.SUCCEEDED else EXIT_RETRY


def _read_run(folder: RunFolder) -> Run | None:
    from jobs.run_source import local_source
    from mimo_vl.reporting.read import read_run

    try:
        return read_run(local_source(folder, folder.load()))
    except (MimoError, ValueError) as error:
        # The run has ended as it has ended, with or without a page about it.
        logger.warning("report.html was not written anew: %s", error)
        return None


def show_end(
    console: Console,
    folder: RunFolder,
    status: MimoPipelineStatus,
    rows: Sequence[StageRow],
    summary: Mapping[str, Any],
) -> None:
    """The two tables, what failed, and where the report is."""
    console.print(stage_table(rows))
    results = result_table(summary)
    if results is not None:
        console.print(results)
    for stage in status.stages:
        if stage.state == StageState.FAILED:
            text = f"{stage.name} failed: {stage.reason}: {stage.message}"
            logs = command("logs", stage.name, "--run-dir", short(folder.path))
            console.print(f"{text}\n  log: {logs}", markup=False, highlight=False, soft_wrap=True)
    report = folder.path / REPORT
    if report.is_file():
        console.print(f"report: open {report.as_uri()} in a browser", markup=False, highlight=False, soft_wrap=True)
