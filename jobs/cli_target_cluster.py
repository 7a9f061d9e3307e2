"""A run on a cluster: its MimoPipeline, the logs of its pods, and its store, also after the pods are gone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from jobs.cli_names import UNSEEN, near_matches
from jobs.cli_program import command
from mimo_vl.errors import InputError

if TYPE_CHECKING:
    from jobs.cluster_logs import ClusterLogs
    from mimo_vl.reporting.read import Source
    from operators.mimo_pipeline.api import MimoPipelineSpec
    from operators.mimo_pipeline.kubernetes.api_client import PipelineClient
    from operators.mimo_pipeline.local.state import PipelineObject


class ClusterTarget:
    def __init__(self, client: PipelineClient, name: str) -> None:
        self._client, self._name = client, name

    def load(self) -> PipelineObject:
        from operators.mimo_pipeline.cluster_control import parse_object

        try:
            return parse_object(self._client.get(self._name))
        except InputError as error:
            if f"no {self._name} in namespace" not in str(error):
                raise
            names = [item["metadata"]["name"] for item in self._client.list_all()]
            raise InputError(f"{error}.{near_matches(self._name, names)}") from error

    def edit(self, change: Callable[[PipelineObject], MimoPipelineSpec]) -> str:
        from operators.mimo_pipeline.cluster_control import edit
        from operators.mimo_pipeline.kubernetes.api_client import ChangedMeanwhileError

        edit(self._client, self._name, change, ChangedMeanwhileError)
        status = command("status", "--pipeline", self._name, "-n", self._client.namespace)
        return f"the operator acts on it; look with: {status}"

    def logs(self, stage: str, attempt: int, node: int | None) -> Iterator[tuple[str, str]]:
        return self._logs(stage, attempt, node).read()

    def follow(self, stage: str, attempt: int, node: int | None) -> Iterator[tuple[str, str]]:
        return self._logs(stage, attempt, node).follow()

    def notes(self, pipeline: PipelineObject, /) -> list[str]:
        """What is wrong, and where the metrics are."""
        wrong = [c for c in pipeline.status.conditions if (c.type == "Valid") == (c.status == "False")]
        usual = {"Running", "Suspended", "Succeeded", "Failed"}
        lines = [f"{c.type}={c.status}: {c.reason}: {c.message}" for c in wrong if c.type not in usual]
        if not pipeline.status.stages and not lines:
            lines.append(UNSEEN)
        return [*lines, *([f"MLflow: {pipeline.status.mlflow}"] if pipeline.status.mlflow else [])]

    @contextmanager
    def open_source(self, pipeline: PipelineObject, /) -> Iterator[Source]:
        from jobs.cluster_store import open_cluster_store
        from jobs.run_source import build_source

        with open_cluster_store(self._client, pipeline) as opened:
            yield build_source(pipeline, opened.store, opened.storage, opened.credentials)

    @contextmanager
    def open_tracking(self, pipeline: PipelineObject, /) -> Iterator[str]:
        from jobs.cli_mlflow import moved
        from jobs.cluster_service import reached_address
        from jobs.run_source import tracking_uri

        page = pipeline.status.mlflow or tracking_uri(pipeline)
        report = command("report", self._name, "-n", self._client.namespace)
        if not page:
            raise InputError(f"{self._name}: no MLflow server; its metrics are in the store: {report}")
        hint = f"its metrics are in the store too: {report}"
        with reached_address(self._client, urlsplit(page).netloc, hint) as address:
            yield moved(page, address)

    def report_path(self, pipeline: PipelineObject, /) -> Path:
        return Path(f"{pipeline.metadata.namespace}-{pipeline.metadata.name}-report.html")

    def _logs(self, stage: str, attempt: int, node: int | None) -> ClusterLogs:
        from jobs.cluster_logs import ClusterLogs

        return ClusterLogs(self._client, self.load, stage, attempt, node)
