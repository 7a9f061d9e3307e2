"""`mimo`: run a pipeline on this machine or on a cluster, look at it, steer it.

Commands import what they need when they are called.

cli.py             run, check, plan
cli_submit.py      submit
cli_control.py     status, logs, retry, approve, suspend, resume, cancel
cli_runs.py        runs
cli_results.py     report, compare, lineage, evaluate, chat
cli_artifacts.py   artifacts ls, get, verify
cli_data.py        data check, add
cli_dashboards.py  dashboards
cli_mlflow.py      mlflow
cli_target.py      what they act on: a run folder or a MimoPipeline
cli_output.py      tables, or JSON
cli_errors.py      what the operating system refuses
cli_program.py     commands in messages
cli_<command>.py   what a command prints
cli_reference.py   docs/cli.md
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

from jobs import cli_artifacts, cli_control, cli_dashboards, cli_data, cli_mlflow, cli_results, cli_runs, cli_submit
from jobs.cli_errors import explain_os_error
from jobs.cli_output import Format, Output, print_json
from mimo_vl.errors import MimoError

EXIT_CODES = (
    "Exit codes: 0 done; 1 failed, another try may succeed; 2 the request, the configuration or an input is wrong; "
    "75 stopped on request after saving, run the command again to go on; 130 ended by Ctrl-C with nothing to save."
)

app = typer.Typer(
    name="mimo",
    help="Train a vision-language model the MiMo-VL way, stage by stage.",
    no_args_is_help=True,
    epilog=EXIT_CODES,
    pretty_exceptions_enable=False,
)
cli_submit.register(app)
cli_control.register(app)
cli_runs.register(app)
cli_results.register(app)
cli_artifacts.register(app)
cli_data.register(app)
cli_dashboards.register(app)
cli_mlflow.register(app)

Profile = Annotated[str, typer.Option("--profile", help="Configuration profile: tiny, smol or mimo_vl_7b.")]
RunDir = Annotated[Path, typer.Option("--run-dir", help="Folder of the run: state, store, logs, report.")]
# typer reads annotations at run time and wants Optional spelled out for lists.
Overrides = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option("--override", help="path.to.field=value, or @name for a shipped set. Repeatable."),
]


@app.command()
def run(
    profile: Profile = "tiny",
    run_dir: RunDir = Path("runs/demo"),
    override: Overrides = None,
    stages: Annotated[str, typer.Option(help="Comma-separated: only these stages.")] = "",
    through: Annotated[str, typer.Option(help="Stop after this stage.")] = "",
    output: Output = Format.TABLE,
) -> None:
    """Run the pipeline on this machine, or go on where it stopped. Finished work is reused by its key."""
    from rich.console import Console

    from jobs.cli_run import RunRequest, run_pipeline
    from operators.mimo_pipeline.local.state import RunFolder
    from operators.mimo_pipeline.local.summary import read_summary

    names = tuple(s.strip() for s in stages.split(",") if s.strip())
    request = RunRequest(
        profile=profile, run_dir=run_dir, overrides=tuple(override or ()), stages=names, through=through
    )
    if output == Format.TABLE:
        raise typer.Exit(run_pipeline(request))
    exit_code = run_pipeline(request, console=Console(stderr=True, markup=False))
    print_json(read_summary(RunFolder(run_dir)) or {})
    raise typer.Exit(exit_code)


@app.command()
def check(
    profile: Profile = "tiny",
    override: Overrides = None,
    given: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--input", help="Artifact made elsewhere: NAME=URI@DIGEST[,SECRET]. Repeatable."),
    ] = None,
    settings: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            help="operator.yaml of a cluster; default: an example cluster of the size that the profile needs."
        ),
    ] = None,
    output_dir: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Folder to write every manifest to."),
    ] = None,
    gpu_memory_gib: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="Of one GPU; default: an H100 of 80 GB."),
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """Render every process and every object on a cluster, and say what does not fit; change nothing."""
    from jobs.cli_check import print_check
    from jobs.cluster_check import CheckRequest
    from mimo_vl.training.plan_estimate import GPU_MEMORY_GIB
    from operators.mimo_pipeline.submission import parse_inputs

    request = CheckRequest(
        profile=profile,
        overrides=tuple(override or ()),
        inputs=parse_inputs(given or ()),
        settings_path=settings,
        output_dir=output_dir,
        gpu_memory_gib=gpu_memory_gib or GPU_MEMORY_GIB,
    )
    print_check(request, output)


@app.command()
def plan(profile: Profile = "mimo_vl_7b", override: Overrides = None, output: Output = Format.TABLE) -> None:
    """Print GPUs, memory per GPU, tokens per step, steps and GPU-hours of every stage."""
    from jobs.cli_plan import print_plan

    print_plan(profile, tuple(override or ()), output)


def main() -> None:
    """Entry point: errors of ours and of the operating system become one message and their exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        app(standalone_mode=True)
    except MimoError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        message, exit_code = explain_os_error(error)
        print(f"error: {message}", file=sys.stderr)
        sys.exit(exit_code)


if __name__ == "__main__":
    main()
