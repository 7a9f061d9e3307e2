"""What the steering commands act on: a run folder on this machine, or a MimoPipeline on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional, Protocol

import typer

from mimo_vl.errors import ConfigError, InputError

if TYPE_CHECKING:
    from operators.mimo_pipeline.api import MimoPipelineSpec, StageStatus
    from operators.mimo_pipeline.kubernetes.api_client import PipelineClient
    from operators.mimo_pipeline.local.state import PipelineObject, RunFolder

_UNSEEN = "no operator has looked at this pipeline yet; is one running in its namespace?"
DEFAULT_RUN_DIR = Path("runs/demo")

# typer reads annotations at run time and wants Optional spelled out.
RunDir = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--run-dir", help="Folder of a run on this machine; default: runs/demo."),
]
Pipeline = Annotated[str, typer.Option("--pipeline", help="Name of a MimoPipeline on a cluster.")]
Namespace = Annotated[str, typer.Option("--namespace", "-n", help="Default: that of the kubeconfig's context.")]
Context = Annotated[str, typer.Option("--context", help="Context of the kubeconfig; default: the current one.")]
Kubeconfig = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--kubeconfig", help="Default: $KUBECONFIG or ~/.kube/config."),
]


class Target(Protocol):
    def load(self) -> PipelineObject: ...

    def edit(self, change: Callable[[PipelineObject], MimoPipelineSpec]) -> str:
        """Change the controls; says who acts on them."""
        ...

    def logs(self, stage: str, attempt: int, rank: int | None) -> Iterator[tuple[str, str]]:
        """(name of the pod or "", text). `attempt` 0 = the latest."""
        ...

    def notes(self, pipeline: PipelineObject, /) -> list[str]:
        """What there is to say below the table of stages."""
        ...


def open_target(run_dir: Path | None, pipeline: str, namespace: str, context: str, kubeconfig: Path | None) -> Target:
    """Raises ConfigError when both worlds, or a cluster without a pipeline, are named."""
    names_cluster = bool(pipeline or namespace or context or kubeconfig)
    if names_cluster and run_dir is not None:
        raise ConfigError("--run-dir and --pipeline: got both; name a run on this machine or one on a cluster")
    if not names_cluster:
        return LocalTarget(run_dir or DEFAULT_RUN_DIR)
    if not pipeline:
        raise ConfigError("--pipeline: missing; name the MimoPipeline (kubectl get mp lists them)")
    from operators.mimo_pipeline.kubernetes.api_client import connect

    return ClusterTarget(connect(kubeconfig=kubeconfig, context=context, namespace=namespace), pipeline)


class LocalTarget:
    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir

    def load(self) -> PipelineObject:
        return self._folder().load()

    def edit(self, change: Callable[[PipelineObject], MimoPipelineSpec]) -> str:
        folder = self._folder()
        folder.edit_spec(change)
        pid = folder.controller_alive()
        return f"mimo run (pid {pid}) acts on it" if pid else f"takes effect with: mimo run --run-dir {self._run_dir}"

    def logs(self, stage: str, attempt: int, rank: int | None) -> Iterator[tuple[str, str]]:
        if rank is not None:
            raise ConfigError("--rank: on one machine all ranks write one log; leave it out")
        folder = self._folder()
        pipeline = folder.load()
        number = attempt or stage_status(pipeline, stage).attempt
        path = folder.log_path(pipeline.metadata.uid, stage, number)
        if not path.is_file():
            text = f"stage {stage}, attempt {number}: no log {path}; it has not run in this run (or was reused)"
            raise InputError(text)
        yield "", path.read_text(errors="replace")

    def notes(self, _: PipelineObject) -> list[str]:
        pid = self._folder().controller_alive()
        hint = f"nobody controls it; go on with: mimo run --run-dir {self._run_dir}"
        return [f"controlled by pid {pid}" if pid else hint]

    def _folder(self) -> RunFolder:
        from operators.mimo_pipeline.local.state import RunFolder

        folder = RunFolder(self._run_dir)
        if not folder.path.is_dir():
            hint = f"start a run with: mimo run --run-dir {self._run_dir}"
            raise InputError(f"--run-dir: {self._run_dir} does not exist; {hint}")
        return folder


class ClusterTarget:
    def __init__(self, client: PipelineClient, name: str) -> None:
        self._client, self._name = client, name

    def load(self) -> PipelineObject:
        from operators.mimo_pipeline.cluster_control import parse_object

        return parse_object(self._client.get(self._name))

    def edit(self, change: Callable[[PipelineObject], MimoPipelineSpec]) -> str:
        from operators.mimo_pipeline.cluster_control import edit
        from operators.mimo_pipeline.kubernetes.api_client import ChangedMeanwhileError

        edit(self._client, self._name, change, ChangedMeanwhileError)
        return f"the operator acts on it; look with: mimo status --pipeline {self._name} -n {self._client.namespace}"

    def logs(self, stage: str, attempt: int, rank: int | None) -> Iterator[tuple[str, str]]:
        from operators.mimo_pipeline.pod_choice import chosen_pods, pod_selector

        pipeline = self.load()
        current = stage_status(pipeline, stage)
        number = attempt or current.attempt
        if number == 0:
            raise InputError(f"stage {stage} is {current.state} and has no attempt yet; there is no log")
        pods = self._client.pods(pod_selector(self._name, stage, number))
        names = chosen_pods(pods, pipeline.spec.stage(stage), rank)
        if not names:
            yield from self._shipped(pipeline, current, number, rank)
        for name in names:
            yield (name if len(names) > 1 else ""), self._client.pod_log(name)

    def _shipped(
        self, pipeline: PipelineObject, stage: StageStatus, attempt: int, rank: int | None
    ) -> Iterator[tuple[str, str]]:
        from jobs.shipped_logs import shipped_logs

        ranks = pipeline.spec.stage(stage.name).pytorch
        node = rank // ranks.num_procs_per_node if ranks is not None and rank is not None else None
        return shipped_logs(pipeline, stage, attempt, node)

    def notes(self, pipeline: PipelineObject) -> list[str]:
        """What is wrong, and where the metrics are."""
        wrong = [c for c in pipeline.status.conditions if (c.type == "Valid") == (c.status == "False")]
        usual = {"Running", "Suspended", "Succeeded", "Failed"}
        lines = [f"{c.type}={c.status}: {c.reason}: {c.message}" for c in wrong if c.type not in usual]
        if not pipeline.status.stages and not lines:
            lines.append(_UNSEEN)
        return [*lines, *([f"MLflow: {pipeline.status.mlflow}"] if pipeline.status.mlflow else [])]


def stage_status(pipeline: PipelineObject, stage: str) -> StageStatus:
    found = next((s for s in pipeline.status.stages if s.name == stage), None)
    if found is not None:
        return found
    names = [s.name for s in pipeline.status.stages]
    if not names:
        raise InputError(f"stage {stage}: {_UNSEEN}")
    raise ConfigError(f"stage: {stage!r} is not in this run; choose from {names}")
