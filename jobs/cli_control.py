"""Commands that look at a run and steer it: status, logs, retry, approve, suspend, resume, cancel.

They edit the controls of the pipeline object. On this machine it is the run folder's pipeline.json, and the `mimo run`
that controls the folder acts on them; on a cluster (--pipeline) it is the MimoPipeline, and the operator does.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from jobs.cli_names import complete_stage, current_stage, stage_status
from jobs.cli_output import Format, Output, print_json_line, say
from jobs.cli_target import Context, Kubeconfig, Namespace, Pipeline, Run, RunDir, Target, open_target
from mimo_vl.errors import ConfigError

if TYPE_CHECKING:
    from operators.mimo_pipeline.api import MimoPipelineSpec
    from operators.mimo_pipeline.local.state import PipelineObject


def register(app: typer.Typer) -> None:
    for command in (status, logs, retry, approve, suspend, resume, cancel):
        app.command()(command)


def status(
    run: Run = "",
    run_dir: RunDir = None,
    pipeline: Pipeline = "",
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show it anew until the run has ended.")] = False,
    output: Output = Format.TABLE,
) -> None:
    """Show every stage of a run, now or (--watch) as it goes."""
    from jobs.cli_status import print_status, watch_status

    target = open_target(run_dir, pipeline, namespace, context, kubeconfig, run)
    if not watch:
        print_status(target, output)
        return
    # Ctrl-C is how one stops looking; the run goes on.
    with contextlib.suppress(KeyboardInterrupt):
        watch_status(target, output)


def logs(
    stage: Annotated[
        str,
        typer.Argument(
            help="Default: the stage that runs, else the one that failed last.", autocompletion=complete_stage
        ),
    ] = "",
    run_dir: RunDir = None,
    pipeline: Pipeline = "",
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = None,
    attempt: Annotated[int, typer.Option(help="0 = the latest.")] = 0,
    rank: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(help="Only the lines of this rank of torch.distributed."),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the attempt ends.")] = False,
    output: Output = Format.TABLE,
) -> None:
    """Print the log of a stage, also after its pods are gone."""
    target = open_target(run_dir, pipeline, namespace, context, kubeconfig)
    name = stage or current_stage(target.load())
    # Ctrl-C is how one stops looking; the stage goes on.
    with contextlib.suppress(KeyboardInterrupt):
        _print_log(_read_log(target, name, attempt, rank, follow=follow), name, output)


def _read_log(target: Target, stage: str, attempt: int, rank: int | None, *, follow: bool) -> Iterable[tuple[str, str]]:
    from jobs.rank_lines import node_of_rank, only_rank

    read = target.follow if follow else target.logs
    if rank is None:
        return read(stage, attempt, None)
    pipeline = target.load()
    stage_status(pipeline, stage)
    spec = pipeline.spec.stage(stage)
    return only_rank(read(stage, attempt, node_of_rank(spec, rank)), rank, spec.num_procs)


def _print_log(parts: Iterable[tuple[str, str]], stage: str, output: Format) -> None:
    last = ""
    for name, text in parts:
        if output == Format.JSON:
            print_json_line({"stage": stage, "from": name, "text": text})
            continue
        if name and name != last:
            typer.echo(f"==> {name} <==")
        last = name
        typer.echo(text, nl=False)


def retry(
    from_stage: Annotated[str, typer.Option("--from", help="First stage to run anew; default: the failed one.")] = "",
    run_dir: RunDir = None,
    pipeline: Pipeline = "",
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = None,
    output: Output = Format.TABLE,
) -> None:
    """Run a stage and everything after it anew, without earlier checkpoints and outputs."""
    from operators.mimo_pipeline.api import RetryRequest

    def change(found: PipelineObject) -> MimoPipelineSpec:
        name = from_stage or _first_failed(found)
        stage_status(found, name)
        request = RetryRequest(from_stage=name, nonce=uuid.uuid4().hex[:12])
        return found.spec.model_copy(update={"retry": request, "cancel": False})

    _edit(open_target(run_dir, pipeline, namespace, context, kubeconfig), change, "retry requested", output)


def approve(
    stage: Annotated[str, typer.Argument(help="Stage name.", autocompletion=complete_stage)],
    run_dir: RunDir = None,
    pipeline: Pipeline = "",
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = None,
    output: Output = Format.TABLE,
) -> None:
    """Let a stage's output be used by the stages after it."""
    from operators.mimo_pipeline.api import StageApproval, StageState

    def change(found: PipelineObject) -> MimoPipelineSpec:
        current = stage_status(found, stage)
        if current.state != StageState.AWAITING_APPROVAL:
            raise ConfigError(f"stage {stage} is {current.state}; only one that is AwaitingApproval can be approved")
        approval = StageApproval(stage=stage, key=current.key)
        return found.spec.model_copy(update={"approvals": (*found.spec.approvals, approval)})

    _edit(open_target(run_dir, pipeline, namespace, context, kubeconfig), change, f"approved {stage}", output)


def suspend(
    run_dir: RunDir = None,
    pipeline: Pipeline = "",
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = None,
    output: Output = Format.TABLE,
) -> None:
    """Save and stop the running stage; start nothing until `mimo resume`."""
    target = open_target(run_dir, pipeline, namespace, context, kubeconfig)
    _edit(target, _setting(suspend=True), "suspended", output)


def resume(
    run_dir: RunDir = None,
    pipeline: Pipeline = "",
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = None,
    output: Output = Format.TABLE,
) -> None:
    """Take back `mimo suspend`."""
    target = open_target(run_dir, pipeline, namespace, context, kubeconfig)
    _edit(target, _setting(suspend=False), "resumed", output)


def cancel(
    run_dir: RunDir = None,
    pipeline: Pipeline = "",
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = None,
    output: Output = Format.TABLE,
) -> None:
    """Stop the run for good; finished stages keep their outputs."""
    target = open_target(run_dir, pipeline, namespace, context, kubeconfig)
    _edit(target, _setting(cancel=True), "cancelled", output)


def _setting(**controls: Any) -> Callable[[PipelineObject], MimoPipelineSpec]:
    return lambda found: found.spec.model_copy(update=controls)


def _first_failed(pipeline: PipelineObject) -> str:
    failed = next((s.name for s in pipeline.status.stages if s.state == "Failed"), None)
    if failed is None:
        raise ConfigError("--from: no stage has failed; name the stage to run anew")
    return failed


def _edit(target: Target, change: Callable[[PipelineObject], MimoPipelineSpec], done: str, output: Format) -> None:
    who = target.edit(change)
    say(f"{done}; {who}", output, done=done, then=who)
