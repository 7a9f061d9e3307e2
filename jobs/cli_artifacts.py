"""`mimo artifacts`: list, fetch and check what the stages of a run published."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer
from rich.table import Table

from jobs.cli_names import complete_stage, near_matches
from jobs.cli_output import Format, Output, print_json, say, wide_console
from jobs.cli_source import StoreUri, opened_run
from jobs.cli_target import Context, Kubeconfig, Namespace, Pipeline, Run, RunDir
from mimo_vl.errors import DigestMismatchError, InputError, MimoError

if TYPE_CHECKING:
    from mimo_vl.reporting.read import Source
    from mimo_vl.reporting.run import Stage
    from mimo_vl.schema.manifest import FileEntry
    from mimo_vl.storage import ArtifactStore

app = typer.Typer(help="List, fetch and check the outputs of a run.", no_args_is_help=True)
StageOption = Annotated[str, typer.Option("--stage", help="Only this stage's output.", autocompletion=complete_stage)]


def register(parent: typer.Typer) -> None:
    parent.add_typer(app, name="artifacts")


@app.command("ls")
def list_artifacts(
    run: Run = "",
    run_dir: RunDir = None,
    pipeline: Pipeline = "",
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = None,
    store: StoreUri = "",
    stage: StageOption = "",
    output: Output = Format.TABLE,
) -> None:
    """List the outputs of a run; with --stage the files of one."""
    with _stages((run, run_dir, pipeline, namespace, context, kubeconfig, store), stage) as (_, stages):
        if output == Format.JSON:
            print_json([_facts(found) for found in stages])
            return
        wide_console().print(_file_table(stages[0]) if stage else _table(stages))


@app.command("get")
def get_artifact(
    stage: Annotated[str, typer.Argument(help="Stage whose output is fetched.", autocompletion=complete_stage)],
    run: Run = "",
    run_dir: RunDir = None,
    pipeline: Pipeline = "",
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = None,
    store: StoreUri = "",
    path: Annotated[str, typer.Option("--path", help="Only this file, or the files below this folder.")] = "",
    to: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--to", help="Folder to write to; default: one named after the stage."),
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """Fetch an output, or a part of it, and check every file against the manifest."""
    folder = to or Path(stage)
    with _stages((run, run_dir, pipeline, namespace, context, kubeconfig, store), stage) as (source, stages):
        entries = _chosen(stages[0], path)
        _fetch(source, stages[0], entries, folder)
        text = f"{len(entries)} files of {stage}, {stages[0].digest}, in {folder}"
        say(text, output, stage=stage, digest=stages[0].digest, folder=str(folder), files=[e.path for e in entries])


@app.command("verify")
def verify_artifacts(
    run: Run = "",
    run_dir: RunDir = None,
    pipeline: Pipeline = "",
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = None,
    store: StoreUri = "",
    stage: StageOption = "",
    output: Output = Format.TABLE,
) -> None:
    """Read every file of the outputs again and compare it with its manifest; exit code 2 if one differs."""
    with _stages((run, run_dir, pipeline, namespace, context, kubeconfig, store), stage) as (source, stages):
        problems = {found.name: _problem(source, found) for found in stages}
    if output == Format.JSON:
        print_json([{**_facts(found, with_files=False), "problem": problems[found.name]} for found in stages])
    else:
        wide_console().print(_table(stages, problems))
    wrong = [f"{name}: {problem}" for name, problem in problems.items() if problem]
    if wrong:
        hint = "restore the files, or make them anew with: mimo retry --from STAGE"
        raise DigestMismatchError("\n".join([*wrong, hint]))


@contextmanager
def _stages(
    place: tuple[str, Path | None, str, str, str, Path | None, str], stage: str
) -> Iterator[tuple[Source, list[Stage]]]:
    """Those that have an output; one if it is named. `place`: what opened_run takes."""
    from mimo_vl.reporting.read import read_run

    with opened_run(*place) as opened:
        source = opened.source
        found = read_run(source, with_metrics=False)
        stages = [s for s in found.stages if s.output is not None and stage in ("", s.name)]
        if stage and not stages:
            names = [s.name for s in found.stages if s.output is not None]
            raise InputError(f"stage: {stage!r} has no output in {found.run_id}.{near_matches(stage, names)}")
        yield source, stages


def _chosen(stage: Stage, path: str) -> list[FileEntry]:
    assert stage.output is not None
    wanted = path.strip("/")
    entries = [e for e in stage.output.manifest.files if wanted in ("", e.path) or e.path.startswith(f"{wanted}/")]
    if not entries:
        names = [entry.path for entry in stage.output.manifest.files]
        raise InputError(f"--path: no {path!r} in the output of {stage.name}.{near_matches(path, names)}")
    return entries


def _fetch(source: Source, stage: Stage, entries: Sequence[FileEntry], folder: Path) -> None:
    """Through the store of the artifact, file by file: an output may be larger than the memory."""
    from mimo_vl.storage.digests import verify_files
    from mimo_vl.storage.layout import OUTPUT_DIR, join

    store, prefix = _place(source, stage)
    for entry in entries:
        target = folder / entry.path
        target.parent.mkdir(parents=True, exist_ok=True)
        store.get_file(join(prefix, OUTPUT_DIR, entry.path), target)
    verify_files(folder, entries, f"copy of {stage.name}")


def _place(source: Source, stage: Stage) -> tuple[ArtifactStore, str]:
    """Store and key prefix of its output."""
    from mimo_vl.storage.layout import run_prefix

    start = stage.uri.rfind(f"/{run_prefix(source.run_id)}/")
    return (source.store, stage.uri[start + 1 :]) if start >= 0 else (source.open_store(stage.uri), "")


def _problem(source: Source, stage: Stage) -> str:
    from mimo_vl.storage.digests import verify_files
    from mimo_vl.storage.layout import OUTPUT_DIR, join

    assert stage.output is not None
    store, prefix = _place(source, stage)
    local = store.local_path(join(prefix, OUTPUT_DIR))
    try:
        if local is not None:
            verify_files(local, stage.output.manifest.files, f"artifact {stage.uri}")
            return ""
        with tempfile.TemporaryDirectory(prefix="mimo-verify-") as scratch:
            for entry in stage.output.manifest.files:
                _fetch(source, stage, [entry], Path(scratch))
                (Path(scratch) / entry.path).unlink()
    except MimoError as error:
        return str(error)
    return ""


def _facts(stage: Stage, *, with_files: bool = True) -> dict[str, object]:
    assert stage.output is not None
    manifest = stage.output.manifest
    facts: dict[str, object] = {
        "stage": stage.name,
        "attempt": manifest.attempt,
        "run": manifest.run_id,
        "digest": manifest.content_digest,
        "uri": stage.uri,
        "bytes": sum(e.size_bytes for e in manifest.files),
        "num_files": len(manifest.files),
    }
    return facts | ({"files": [e.model_dump(mode="json") for e in manifest.files]} if with_files else {})


def _table(stages: Sequence[Stage], problems: dict[str, str] | None = None) -> Table:
    table = Table()
    table.add_column("stage", no_wrap=True)
    for heading in ("attempt", "files", "MB"):
        table.add_column(heading, justify="right")
    for heading in ("digest", "uri", *(("check",) if problems is not None else ())):
        table.add_column(heading, overflow="fold")
    for stage in stages:
        facts = _facts(stage, with_files=False)
        size = f"{int(str(facts['bytes'])) / 1e6:,.1f}"
        check = [problems[stage.name] or "every file is as published"] if problems is not None else []
        row = (facts["attempt"], facts["num_files"], size, facts["digest"], facts["uri"])
        table.add_row(stage.name, *map(str, row), *check)
    return table


def _file_table(stage: Stage) -> Table:
    assert stage.output is not None
    table = Table(title=f"{stage.name}  {stage.digest}", title_justify="left")
    table.add_column("file", overflow="fold")
    table.add_column("bytes", justify="right", no_wrap=True)
    table.add_column("sha256", overflow="fold")
    for entry in stage.output.manifest.files:
        table.add_row(entry.path, f"{entry.size_bytes:,}", entry.sha256)
    return table
