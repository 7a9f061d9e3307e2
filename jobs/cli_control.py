"""Commands that look at a run and steer it: status, logs, retry, approve, suspend, resume, cancel.

They edit the controls of the pipeline object. On this machine it is the run folder's pipeline.json, and the `mimo run`
that controls the folder acts on them; on a cluster (--pipeline) it is the MimoPipeline, and the operator does.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer
from rich.console import Console

from jobs.cli_target import Context, Kubeconfig, Namespace, Pipeline, RunDir, Target, open_target, stage_status
from mimo_vl.errors import ConfigError

if TYPE_CHECKING:
    from operators.mimo_pipeline.api import MimoPipelineSpec
    from operators.mimo_pipeline.local.state import PipelineObject


def register(app: typer.Typer) -> None:
    for command in (status, logs, retry, approve, suspend, resume, cancel):
        app.command()(command)


def status(
    run_dir: RunDir = None,
    pipeline: Pipeline = "",
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = None,
    json_output: Annotated[bool, typer.Option("--json", help="The whole object.")] = False,
) -> None:
    """Show every stage of a run."""
    from operators.mimo_pipeline.local.tables import status_table

    target = open_target(run_dir, pipeline, namespace, context, kubeconfig)
    found = target.load()
    console = Console(soft_wrap=json_output)
    if json_output:
        console.print_json(data=found.to_values())
        return
    console.print(f"{found.run_id}  {found.status.phase}", markup=False, highlight=False)
    console.print(status_table(found.status))
    for note in target.notes(found):
        console.print(note, markup=False, highlight=False, soft_wrap=True)


def logs(
    stage: Annotated[str, typer.Argument(help="Stage name.")],
    run_dir: RunDir = None,
    pipeline: Pipeline = "",
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = None,
    attempt: Annotated[int, typer.Option(help="0 = the latest.")] = 0,
    rank: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(help="On a cluster: only the pod that runs this rank."),
    ] = None,
) -> None:
    """Print the log of a stage."""
    target = open_target(run_dir, pipeline, namespace, context, kubeconfig)
    console = Console(soft_wrap=True)
    for name, text in target.logs(stage, attempt, rank):
        if name:
            console.print(f"==> {name} <==", markup=False, highlight=False)
        console.print(text, markup=False, highlight=False, end="")


def retry(
    from_stage: Annotated[str, typer.Option("--from", help="First stage to run anew; default: the failed one.")] = "",
    run_dir: RunDir = None,
    pipeline: Pipeline = "",
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = None,
) -> None:
    """Run a stage and everything after it anew, without earlier checkpoints and outputs."""
    from operators.mimo_pipeline.api import RetryRequest

    def change(found: PipelineObject) -> MimoPipelineSpec:
        name = from_stage or _first_failed(found)
        stage_status(found, name)
        request = RetryRequest(from_stage=name, nonce=uuid.uuid4().hex[:12])
        return found.spec.model_copy(update={"retry": request, "cancel": False})

    _edit(open_target(run_dir, pipeline, namespace, context, kubeconfig), change, "retry requested")


def approve(
    stage: Annotated[str, typer.Argument(help="Stage name.")],
    run_dir: RunDir = None,
    pipeline: Pipeline = "",
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = None,
) -> None:
    """Let a stage's output be used by the stages after it."""
    from operators.mimo_pipeline.api import StageApproval, StageState

    def change(found: PipelineObject) -> MimoPipelineSpec:
        current = stage_status(found, stage)
        if current.state != StageState.AWAITING_APPROVAL:
            raise ConfigError(f"stage {stage} is {current.state}; only one that is AwaitingApproval can be approved")
        approval = StageApproval(stage=stage, key=current.key)
        return found.spec.model_copy(update={"approvals": (*found.spec.approvals, approval)})

    _edit(open_target(run_dir, pipeline, namespace, context, kubeconfig), change, f"approved {stage}")


def suspend(
    run_dir: RunDir = None,
    pipeline: Pipeline = "",
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = None,
) -> None:
    """Save and stop the running stage; start nothing until `mimo resume`."""
    target = open_target(run_dir, pipeline, namespace, context, kubeconfig)
    _edit(target, _setting(suspend=True), "suspended")


def resume(
    run_dir: RunDir = None,
    pipeline: Pipeline = "",
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = None,
) -> None:
    """Take back `mimo suspend`."""
    target = open_target(run_dir, pipeline, namespace, context, kubeconfig)
    _edit(target, _setting(suspend=False), "resumed")


def cancel(
    run_dir: RunDir = None,
    pipeline: Pipeline = "",
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = None,
) -> None:
    """Stop the run for good; finished stages keep their outputs."""
    target = open_target(run_dir, pipeline, namespace, context, kubeconfig)
    _edit(target, _setting(cancel=True), "cancelled")


def _setting(**controls: Any) -> Callable[[PipelineObject], MimoPipelineSpec]:
    return lambda found: found.spec.model_copy(update=controls)


def _first_failed(pipeline: PipelineObject) -> str:
    failed = next((s.name for s in pipeline.status.stages if s.state == "Failed"), None)
    if failed is None:
        raise ConfigError("--from: no stage has failed; name the stage to run anew")
    return failed


def _edit(target: Target, change: Callable[[PipelineObject], MimoPipelineSpec], done: str) -> None:
    who = target.edit(change)
    Console(soft_wrap=True).print(f"{done}; {who}", markup=False, highlight=False)
