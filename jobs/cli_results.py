"""Commands about what came out: report, evaluate, chat."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RunDir = Annotated[Path, typer.Option("--run-dir", help="Folder of the run.")]
_DEFAULT = Path("runs/demo")


def register(app: typer.Typer) -> None:
    for command in (report, evaluate, chat):
        app.command()(command)


def report(run_dir: RunDir = _DEFAULT) -> None:
    """Write the report of a finished run anew, print its tables and say where it is."""
    from jobs.cli_run import default_console, show_end
    from jobs.report import rebuild_report
    from mimo_vl.errors import InputError
    from operators.mimo_pipeline.local.state import RunFolder
    from operators.mimo_pipeline.local.summary import read_summary

    folder = RunFolder(run_dir)
    pipeline = folder.load()
    summary = read_summary(folder)
    if summary is None:
        raise InputError(f"--run-dir: {run_dir} has no summary.json yet; it is written when the run has ended")
    rebuild_report(folder.path)
    show_end(default_console(), folder, pipeline.status, summary)


def evaluate(
    model: Annotated[Path, typer.Argument(help="Hugging Face folder of a checkpoint.")],
    run_dir: RunDir = _DEFAULT,
    out: Annotated[Path | None, typer.Option(help="Folder for results; default: <run dir>/evaluations/<name>.")] = None,
) -> None:
    """Score any checkpoint on the held-out items of a run."""
    from jobs.cli_evaluate import evaluate_checkpoint, print_evaluation
    from jobs.cli_run import default_console

    print_evaluation(default_console(), evaluate_checkpoint(model, run_dir, out))


def chat(
    prompt: Annotated[str, typer.Argument(help="Without it: one prompt per line of the input.")] = "",
    run_dir: RunDir = _DEFAULT,
    image: Annotated[Path | None, typer.Option(help="PNG or JPEG that the question is about.")] = None,
    stage: Annotated[str, typer.Option(help="Whose model answers; default: the last one trained.")] = "",
    temperature: Annotated[float, typer.Option(help="0 = greedy.")] = 0.0,
    max_new_tokens: Annotated[int, typer.Option()] = 64,
) -> None:
    """Ask a trained checkpoint, about an image or not."""
    from jobs.chat import main

    arguments = ["--run-dir", str(run_dir), "--stage", stage]
    arguments += ["--temperature", str(temperature), "--max-new-tokens", str(max_new_tokens)]
    arguments += ["--image", str(image)] if image is not None else []
    arguments += ["--", prompt] if prompt else []
    raise typer.Exit(main(arguments))
