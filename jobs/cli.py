"""`mimo`: run a pipeline on this machine or on a cluster, look at it, steer it.

Commands import what they need when they are called.

cli.py            run, check, plan
cli_submit.py     submit
cli_control.py    status, logs, retry, approve, suspend, resume, cancel, on what cli_target.py opens
cli_results.py    report, evaluate, chat
cli_run.py        what `mimo run` does
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

from jobs import cli_control, cli_results, cli_submit
from mimo_vl.errors import EXIT_RESUME, MimoError

app = typer.Typer(
    name="mimo",
    help="Train a vision-language model the MiMo-VL way, stage by stage.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
cli_submit.register(app)
cli_control.register(app)
cli_results.register(app)

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
) -> None:
    """Run the pipeline on this machine, or go on where it stopped. Finished work is reused by its key."""
    from jobs.cli_run import RunRequest, run_pipeline

    names = tuple(s.strip() for s in stages.split(",") if s.strip())
    request = RunRequest(
        profile=profile, run_dir=run_dir, overrides=tuple(override or ()), stages=names, through=through
    )
    raise typer.Exit(run_pipeline(request))


@app.command()
def check(profile: Profile = "tiny", override: Overrides = None) -> None:
    """Compose and validate the configuration, print it and the process of every stage; change nothing."""
    from jobs.cli_run import RunRequest, print_check

    print_check(RunRequest(profile=profile, run_dir=Path("runs/check"), overrides=tuple(override or ())))


@app.command()
def plan(profile: Profile = "mimo_vl_7b", override: Overrides = None) -> None:
    """Print GPUs, memory per GPU, tokens per step, steps and GPU-hours of every stage."""
    from jobs.cli_plan import print_plan

    print_plan(profile, tuple(override or ()))


def main() -> None:
    """Entry point: errors of ours become one message and their exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        app(standalone_mode=True)
    except MimoError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(EXIT_RESUME)


if __name__ == "__main__":
    main()
