"""Commands about what came out: report, evaluate, chat."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RunDir = Annotated[Path, typer.Option("--run-dir", help="Folder of the run.")]
_DEFAULT = Path("runs/demo")


def register(app: typer.Typer) -> None:
    app.command()(report)


def report(run_dir: RunDir = _DEFAULT) -> None:
    """Print the tables of a finished run again and say where its report is."""
    from rich.console import Console

    from jobs.cli_run import show_end
    from mimo_vl.errors import InputError
    from operators.mimo_pipeline.local.state import RunFolder
    from operators.mimo_pipeline.local.summary import read_summary

    folder = RunFolder(run_dir)
    pipeline = folder.load()
    summary = read_summary(folder)
    if summary is None:
        raise InputError(f"--run-dir: {run_dir} has no summary.json yet; it is written when the run has ended")
    show_end(Console(), folder, pipeline.status, summary)
