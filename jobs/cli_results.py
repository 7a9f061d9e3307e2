"""Commands about what came out: report, compare, lineage, evaluate, chat."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from jobs.cli_output import Format, Output, print_json
from jobs.cli_source import StoreUri, opened_run
from jobs.cli_target import Context, Kubeconfig, Namespace, Pipeline, Run, RunDir, open_target

LocalRunDir = Annotated[Path, typer.Option("--run-dir", help="Folder of the run.")]
_DEFAULT = Path("runs/demo")


def register(app: typer.Typer) -> None:
    for command in (report, compare, lineage, evaluate, chat):
        app.command()(command)


def report(
    run: Run = "",
    run_dir: RunDir = None,
    pipeline: Pipeline = "",
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = None,
    store: StoreUri = "",
    to: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--to", help="File; default: report.html in the run folder, or <namespace>-<name>-report.html."),
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """Write one HTML page about a run, finished or not, print its tables and say where it is."""
    from jobs.cli_report import print_report
    from jobs.report import write_report

    with opened_run(run, run_dir, pipeline, namespace, context, kubeconfig, store) as opened:
        path = (to or opened.report_path).absolute()
        print_report(write_report(opened.source, path), path, output)


def compare(
    run: Annotated[str, typer.Argument(help="A run folder, or a MimoPipeline.")],
    other: Annotated[str, typer.Argument(help="The run to compare it with.")],
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = None,
    output: Output = Format.TABLE,
) -> None:
    """Show two runs side by side: configuration, stages, results with their intervals.

    A name with a slash is a folder, also where a namespace is given: a local run can be compared with one on a cluster.
    """
    from jobs.cli_compare import print_comparison, read_compared

    found = []
    for name in (run, other):
        in_cluster = "/" not in name and bool(namespace or context or kubeconfig)
        place = (namespace, context, kubeconfig) if in_cluster else ("", "", None)
        found.append(read_compared(open_target(None, "", *place, name)))
    print_comparison(found[0], found[1], output)


def lineage(
    run: Run = "",
    run_dir: RunDir = None,
    pipeline: Pipeline = "",
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = None,
    store: StoreUri = "",
    stage: Annotated[str, typer.Option(help="Only what this stage's output was made from.")] = "",
    output: Output = Format.TABLE,
) -> None:
    """Show what the outputs of a run were made from, by digest, up to the sources."""
    from jobs.cli_lineage import print_lineage

    with opened_run(run, run_dir, pipeline, namespace, context, kubeconfig, store) as opened:
        print_lineage(opened.source, stage, output)


def evaluate(
    model: Annotated[Path, typer.Argument(help="Hugging Face folder of a checkpoint.")],
    run_dir: LocalRunDir = _DEFAULT,
    out: Annotated[Path | None, typer.Option(help="Folder for results; default: <run dir>/evaluations/<name>.")] = None,
    output: Output = Format.TABLE,
) -> None:
    """Score any checkpoint on the held-out items of a run."""
    from jobs.cli_evaluate import evaluate_checkpoint, print_evaluation
    from jobs.cli_output import wide_console

    found = evaluate_checkpoint(model, run_dir, out)
    if output == Format.JSON:
        print_json(found.model_dump(mode="json"))
    else:
        print_evaluation(wide_console(), found)


def chat(
    prompt: Annotated[str, typer.Argument(help="Without it: one prompt per line of the input.")] = "",
    run_dir: LocalRunDir = _DEFAULT,
    image: Annotated[Path | None, typer.Option(help="PNG or JPEG that the question is about.")] = None,
    stage: Annotated[str, typer.Option(help="Whose model answers; default: the last one trained.")] = "",
    temperature: Annotated[float, typer.Option(help="0 = greedy.")] = 0.0,
    max_new_tokens: Annotated[int, typer.Option(help="Longest answer.")] = 64,
    output: Output = Format.TABLE,
) -> None:
    """Ask a trained checkpoint, about an image or not."""
    from jobs.chat import main

    arguments = ["--run-dir", str(run_dir), "--stage", stage]
    arguments += ["--temperature", str(temperature), "--max-new-tokens", str(max_new_tokens)]
    arguments += ["--image", str(image)] if image is not None else []
    arguments += ["--json"] if output == Format.JSON else []
    arguments += ["--", prompt] if prompt else []
    raise typer.Exit(main(arguments))
