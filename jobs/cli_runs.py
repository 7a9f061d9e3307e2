"""`mimo runs`: which runs there are, in folders of this machine, in a namespace of a cluster, or in a store."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer
from rich.table import Table

from jobs.cli_output import Format, Output, print_json, wide_console
from jobs.cli_program import command
from jobs.cli_source import given_store, stored_runs
from jobs.cli_target import RUNS_DIR, Context, Kubeconfig, Namespace
from jobs.cli_target_local import run_folders
from mimo_vl.errors import ConfigError, MimoError

if TYPE_CHECKING:
    from operators.mimo_pipeline.local.state import PipelineObject


@dataclass(frozen=True, kw_only=True)
class RunRow:
    run: str
    phase: str
    profile: str = ""
    progress: str = ""
    """Stages with an output, of all."""
    started: str = ""
    where: str = ""
    note: str = ""


def register(app: typer.Typer) -> None:
    app.command()(runs)


def runs(
    root: Annotated[Path, typer.Option("--root", help="Folder whose run folders are listed.")] = RUNS_DIR,
    store: Annotated[
        str, typer.Option("--store", help="file:///folder or s3://bucket/prefix: every run that left something there.")
    ] = "",
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = None,
    output: Output = Format.TABLE,
) -> None:
    """List runs: of this machine, of a namespace (-n), or of a store, with those whose pipeline was deleted."""
    if store and (namespace or context or kubeconfig):
        raise ConfigError("--store: got it with options of a cluster; leave one of them out")
    if store:
        rows = _of_store(store)
    elif namespace or context or kubeconfig:
        rows = _of_cluster(namespace, context, kubeconfig)
    else:
        rows = [_of_folder(folder) for folder in run_folders(root)]
    if output == Format.JSON:
        print_json([asdict(row) for row in rows])
        return
    if not rows:
        typer.echo(
            f"no runs in {store or namespace or root}; start one with: {command('run', '--run-dir', root / 'demo')}"
        )
        return
    wide_console().print(_table(rows))


def _of_folder(path: Path) -> RunRow:
    from operators.mimo_pipeline.local.state import RunFolder

    folder = RunFolder(path)
    try:
        row = _row(folder.load(), str(path))
    except MimoError as error:
        return RunRow(run=path.name, phase="unreadable", where=str(path), note=str(error))
    pid = folder.controller_alive()
    return RunRow(**{**asdict(row), "note": f"controlled by pid {pid}" if pid else row.note})


def _of_cluster(namespace: str, context: str, kubeconfig: Optional[Path]) -> list[RunRow]:  # noqa: UP045
    from operators.mimo_pipeline.cluster_control import parse_object
    from operators.mimo_pipeline.kubernetes.api_client import connect

    client = connect(kubeconfig=kubeconfig, context=context, namespace=namespace)
    rows = []
    for item in sorted(client.list_all(), key=lambda found: str(found["metadata"]["name"])):
        where = f"--pipeline {item['metadata']['name']} -n {client.namespace}"
        try:
            rows.append(_row(parse_object(item), where))
        except MimoError as error:
            rows.append(RunRow(run=item["metadata"]["name"], phase="unreadable", where=where, note=str(error)))
    return rows


def _row(pipeline: PipelineObject, where: str) -> RunRow:
    status = pipeline.status
    done = sum(bool(s.output_uri) for s in status.stages)
    return RunRow(
        run=pipeline.run_id,
        phase=str(status.phase),
        profile=pipeline.spec.profile,
        progress=f"{done}/{len(pipeline.spec.stages)}",
        started=f"{status.started_at:%Y-%m-%d %H:%M}" if status.started_at else "",
        where=where,
        note=status.message,
    )


def _of_store(uri: str) -> list[RunRow]:
    opened = given_store(uri)
    return [_stored(run, stages, opened.uri(f"runs/{run}")) for run, stages in stored_runs(opened).items()]


def _stored(run: str, stages: dict[str, set[str]], where: str) -> RunRow:
    done = sum("manifest.json" in files for files in stages.values())
    return RunRow(run=run, phase="", progress=f"{done}/{len(stages)}", where=where)


def _table(rows: Iterable[RunRow]) -> Table:
    table = Table()
    for heading in ("run", "phase", "profile", "outputs", "started", "where", "note"):
        table.add_column(heading, overflow="fold", no_wrap=heading in ("phase", "started"))
    for row in rows:
        table.add_row(row.run, row.phase, row.profile, row.progress, row.started, row.where, row.note)
    return table
