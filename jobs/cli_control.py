"""Commands that look at a run and steer it: status, logs, retry, approve, suspend, resume, cancel.

They edit the controls in the run folder's pipeline.json; the `mimo run` that controls the folder acts on them.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from mimo_vl.errors import ConfigError, InputError

if TYPE_CHECKING:
    from operators.mimo_pipeline.api import MimoPipelineSpec, StageStatus
    from operators.mimo_pipeline.local.state import PipelineObject, RunFolder

RunDir = Annotated[Path, typer.Option("--run-dir", help="Folder of the run.")]
_DEFAULT = Path("runs/demo")


def register(app: typer.Typer) -> None:
    for command in (status, logs, retry, approve, suspend, resume, cancel):
        app.command()(command)


def status(
    run_dir: RunDir = _DEFAULT, json_output: Annotated[bool, typer.Option("--json", help="The whole object.")] = False
) -> None:
    """Show every stage of a run."""
    from operators.mimo_pipeline.local.tables import status_table

    folder = _folder(run_dir)
    pipeline = folder.load()
    console = Console(soft_wrap=json_output)
    if json_output:
        console.print_json(data=pipeline.to_values())
        return
    console.print(f"{pipeline.run_id}  {pipeline.status.phase}", markup=False, highlight=False)
    console.print(status_table(pipeline.status))
    pid = folder.controller_alive()
    note = f"controlled by pid {pid}" if pid else f"nobody controls it; go on with: mimo run --run-dir {run_dir}"
    console.print(note, markup=False, highlight=False)


def logs(
    stage: Annotated[str, typer.Argument(help="Stage name.")],
    run_dir: RunDir = _DEFAULT,
    attempt: Annotated[int, typer.Option(help="0 = the latest.")] = 0,
) -> None:
    """Print the log of a stage."""
    folder = _folder(run_dir)
    pipeline = folder.load()
    number = attempt or _stage_status(pipeline, stage).attempt
    path = folder.log_path(pipeline.metadata.uid, stage, number)
    if not path.is_file():
        raise InputError(f"stage {stage}, attempt {number}: no log {path}; it has not run in this run (or was reused)")
    Console(soft_wrap=True).print(path.read_text(errors="replace"), markup=False, highlight=False, end="")


def retry(
    from_stage: Annotated[str, typer.Option("--from", help="First stage to run anew; default: the failed one.")] = "",
    run_dir: RunDir = _DEFAULT,
) -> None:
    """Run a stage and everything after it anew, without earlier checkpoints and outputs."""
    from operators.mimo_pipeline.api import RetryRequest

    def change(pipeline: PipelineObject) -> MimoPipelineSpec:
        name = from_stage or _first_failed(pipeline)
        _stage_status(pipeline, name)
        request = RetryRequest(from_stage=name, nonce=uuid.uuid4().hex[:12])
        return pipeline.spec.model_copy(update={"retry": request, "cancel": False})

    _edit(run_dir, change, "retry requested")


def approve(stage: Annotated[str, typer.Argument(help="Stage name.")], run_dir: RunDir = _DEFAULT) -> None:
    """Let a stage's output be used by the stages after it."""
    from operators.mimo_pipeline.api import StageApproval, StageState

    def change(pipeline: PipelineObject) -> MimoPipelineSpec:
        current = _stage_status(pipeline, stage)
        if current.state != StageState.AWAITING_APPROVAL:
            raise ConfigError(f"stage {stage} is {current.state}; only one that is AwaitingApproval can be approved")
        approval = StageApproval(stage=stage, key=current.key)
        return pipeline.spec.model_copy(update={"approvals": (*pipeline.spec.approvals, approval)})

    _edit(run_dir, change, f"approved {stage}")


def suspend(run_dir: RunDir = _DEFAULT) -> None:
    """Save and stop the running stage; start nothing until `mimo resume`."""
    _edit(run_dir, lambda p: p.spec.model_copy(update={"suspend": True}), "suspended")


def resume(run_dir: RunDir = _DEFAULT) -> None:
    """Take back `mimo suspend`."""
    _edit(run_dir, lambda p: p.spec.model_copy(update={"suspend": False}), "resumed")


def cancel(run_dir: RunDir = _DEFAULT) -> None:
    """Stop the run for good; finished stages keep their outputs."""
    _edit(run_dir, lambda p: p.spec.model_copy(update={"cancel": True}), "cancelled")


def _folder(run_dir: Path) -> RunFolder:
    from operators.mimo_pipeline.local.state import RunFolder

    folder = RunFolder(run_dir)
    if not folder.path.is_dir():
        raise InputError(f"--run-dir: {run_dir} does not exist; start a run with: mimo run --run-dir {run_dir}")
    return folder


def _stage_status(pipeline: PipelineObject, stage: str) -> StageStatus:
    found = next((s for s in pipeline.status.stages if s.name == stage), None)
    if found is None:
        names = [s.name for s in pipeline.status.stages]
        raise ConfigError(f"stage: {stage!r} is not in this run; choose from {names}")
    return found


def _first_failed(pipeline: PipelineObject) -> str:
    failed = next((s.name for s in pipeline.status.stages if s.state == "Failed"), None)
    if failed is None:
        raise ConfigError("--from: no stage has failed; name the stage to run anew")
    return failed


def _edit(run_dir: Path, change: Callable[[PipelineObject], MimoPipelineSpec], done: str) -> None:
    folder = _folder(run_dir)
    folder.edit_spec(change)
    pid = folder.controller_alive()
    who = f"mimo run (pid {pid}) acts on it" if pid else f"takes effect with: mimo run --run-dir {run_dir}"
    Console(soft_wrap=True).print(f"{done}; {who}", markup=False, highlight=False)
