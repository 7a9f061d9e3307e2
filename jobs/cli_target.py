"""What commands act on: a run folder on this machine, or a MimoPipeline on a cluster, by the same options.

cli_target_local.py     the run folder
cli_target_cluster.py   the MimoPipeline, its pods, and its store
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional, Protocol

import typer

from jobs.cli_names import stage_status
from jobs.cli_target_cluster import ClusterTarget
from jobs.cli_target_local import LocalTarget, complete_run
from mimo_vl.errors import ConfigError

if TYPE_CHECKING:
    from mimo_vl.reporting.read import Source
    from operators.mimo_pipeline.api import MimoPipelineSpec
    from operators.mimo_pipeline.local.state import PipelineObject

__all__ = ["ClusterTarget", "LocalTarget", "Target", "open_target", "stage_status"]

DEFAULT_RUN_DIR = Path("runs/demo")
RUNS_DIR = Path("runs")

# typer reads annotations at run time and wants Optional spelled out.
RunDir = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--run-dir", help="Folder of a run on this machine; default: runs/demo."),
]
Run = Annotated[
    str,
    typer.Argument(
        help="A run folder, or its name below runs/; with -n, --context or --kubeconfig a MimoPipeline. "
        "Default: runs/demo.",
        autocompletion=complete_run,
        show_default=False,
    ),
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

    def logs(self, stage: str, attempt: int, node: int | None) -> Iterator[tuple[str, str]]:
        """(name of the pod or node, or "", text). `attempt` 0 = the latest; `node` None = all (one machine has one)."""
        ...

    def follow(self, stage: str, attempt: int, node: int | None) -> Iterator[tuple[str, str]]:
        """(name or "", new text), until the attempt ends."""
        ...

    def notes(self, pipeline: PipelineObject, /) -> list[str]:
        """What there is to say below the table of stages."""
        ...

    def open_source(self, pipeline: PipelineObject, /) -> AbstractContextManager[Source]:
        """The run's records and artifacts."""
        ...

    def open_tracking(self, pipeline: PipelineObject, /) -> AbstractContextManager[str]:
        """Address of the run's page in its tracking server, reachable as long as the block lasts."""
        ...

    def report_path(self, pipeline: PipelineObject, /) -> Path:
        """Where its report goes if nobody says."""
        ...


def open_target(
    run_dir: Path | None, pipeline: str, namespace: str, context: str, kubeconfig: Path | None, run: str = ""
) -> Target:
    """Raises ConfigError when both worlds, or a cluster without a pipeline, are named."""
    names_cluster = bool(pipeline or namespace or context or kubeconfig)
    if run and (run_dir is not None or pipeline):
        raise ConfigError(f"RUN: got {run} and --run-dir or --pipeline; name the run once")
    if run and names_cluster and "/" not in run:
        pipeline = run
    elif run:
        return LocalTarget(run_folder(run))
    if names_cluster and run_dir is not None:
        raise ConfigError("--run-dir and --pipeline: got both; name a run on this machine or one on a cluster")
    if not names_cluster:
        return LocalTarget(run_dir or DEFAULT_RUN_DIR)
    if not pipeline:
        raise ConfigError("--pipeline: missing; name the MimoPipeline (mimo runs -n NAMESPACE lists them)")
    from operators.mimo_pipeline.kubernetes.api_client import connect

    return ClusterTarget(connect(kubeconfig=kubeconfig, context=context, namespace=namespace), pipeline)


def run_folder(run: str) -> Path:
    """A folder by its path, or by its name below runs/."""
    path = Path(run)
    return path if path.is_dir() or "/" in run else RUNS_DIR / run
