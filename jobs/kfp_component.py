"""What the components of the pipeline in Kubeflow Pipelines do; jobs/kubeflow_pipeline.py says how they are wired.

A step's artifacts stay where the platform keeps them. Kubeflow's launcher uploads what an artifact's URI names, and
refuses URIs outside its own bucket, so URI and digest are in the artifact's metadata and in its small content.
"""

from __future__ import annotations

import html
import json
import logging
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from jobs.kfp_request import KfpRequest, request_from
from jobs.kfp_settings import kubeflow_token_file
from jobs.kfp_step import Step, ensure_pipeline
from jobs.kfp_target import KfpTarget, open_kfp_target
from mimo_vl.errors import MimoError
from mimo_vl.stop_request import StopRequest
from mimo_vl.storage.artifacts import read_manifest
from mimo_vl.storage.layout import OUTPUT_DIR
from operators.mimo_pipeline.api import StageStatus
from operators.mimo_pipeline.kubeflow.client import KubeflowApiError, KubeflowClient, RunState
from operators.mimo_pipeline.local.state import PipelineObject
from operators.mimo_pipeline.local.summary import REPORT

logger = logging.getLogger(__name__)

_LOCAL_TICK_S, _CLUSTER_TICK_S = 0.2, 5.0


class KfpArtifact(Protocol):
    """An output artifact of the package kfp."""

    path: str
    metadata: dict[str, Any]


def make_pipeline(values: dict[str, Any]) -> dict[str, Any]:
    """First step: check the parameters, create or find the MimoPipeline; returns the request for the other steps."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    request = request_from(values)
    pipeline = _or_exit(lambda: ensure_pipeline(open_kfp_target(request), request))
    _write(f"{pipeline.run_id}: stages {', '.join(s.name for s in pipeline.spec.stages)}\n")
    return request.to_values()


def follow_stage(stage: str, values: dict[str, Any], metrics: KfpArtifact, artifact: KfpArtifact) -> None:
    """Every other step: ends as the stage ends; its metrics and the place of its output become artifacts."""
    followed = _follow(stage, values, metrics)
    write_artifact(artifact, followed.reference, json.dumps(followed.reference, indent=1) + "\n")


def follow_report(stage: str, values: dict[str, Any], metrics: KfpArtifact, page: KfpArtifact) -> None:
    """The same for the stage that writes the report: the page itself is shown in Kubeflow Pipelines."""
    followed = _follow(stage, values, metrics)
    write_artifact(page, followed.reference, followed.text_of(REPORT) or _without_report(followed.reference))


@dataclass(frozen=True, kw_only=True)
class Followed:
    """A stage that has ended well, or does not run."""

    target: KfpTarget
    pipeline: PipelineObject
    reference: dict[str, Any]

    def text_of(self, name: str) -> str:
        """A file of the output; "" = there is none, or the store cannot be read from here."""
        if not self.reference.get("mimo_uri"):
            return ""
        try:
            with self.target.open_source(self.pipeline) as source:
                data, _ = source.open_store(self.reference["mimo_uri"]).get_bytes(f"{OUTPUT_DIR}/{name}")
                return data.decode("utf-8")
        except MimoError as error:
            logger.warning("%s cannot be shown here: %s", name, error)
            return ""


def _follow(stage: str, values: dict[str, Any], metrics: KfpArtifact) -> Followed:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    request = request_from(values)
    target = open_kfp_target(request)
    step = Step(
        target=target,
        request=request,
        stage=stage,
        is_cancelled=RunWatch(request).is_cancelled,
        write=_write,
        tick_s=_LOCAL_TICK_S if request.run_dir else _CLUSTER_TICK_S,
        stop=_watch_sigterm(),
    )
    status = _or_exit(step.run)
    pipeline = _or_exit(target.load)
    if status is not None:
        metrics.metadata.update(stage_metrics(target, pipeline, status))
    reference = given_reference(pipeline, stage) if status is None else stage_reference(pipeline, status)
    return Followed(target=target, pipeline=pipeline, reference=reference)


def stage_reference(pipeline: PipelineObject, stage: StageStatus) -> dict[str, Any]:
    return {
        "mimo_uri": stage.output_uri,
        "digest": stage.digest,
        "mimo_pipeline": pipeline.run_id,
        "stage": stage.name,
        "attempt": stage.attempt,
        "reused": stage.reused,
    }


def given_reference(pipeline: PipelineObject, stage: str) -> dict[str, Any]:
    """A stage that does not run: its output was made elsewhere and given, or it was left out."""
    reference: dict[str, Any] = {"mimo_pipeline": pipeline.run_id, "stage": stage}
    given = next((i for i in pipeline.spec.inputs if i.name == stage), None)
    return {**reference, "mimo_uri": given.uri, "digest": given.digest} if given else reference


def write_artifact(artifact: KfpArtifact, reference: dict[str, Any], content: str) -> None:
    artifact.metadata.update(reference)
    path = Path(artifact.path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def _without_report(reference: dict[str, Any]) -> str:
    where = html.escape(str(reference.get("mimo_uri") or "nowhere: the stage does not run"))
    return f"<!doctype html><meta charset=utf-8><title>Report</title><p>The report is in {where}.</p>\n"


def stage_metrics(target: KfpTarget, pipeline: PipelineObject, stage: StageStatus) -> dict[str, float]:
    """Of the manifest where the store can be read from here, else those that the stage told last."""
    try:
        with target.open_source(pipeline) as source:
            return dict(read_manifest(source.open_store(stage.output_uri), "", stage.digest).metrics)
    except MimoError as error:
        logger.warning("metrics of %s are those that it told last: %s", stage.name, error)
        return dict(stage.progress.metrics) if stage.progress else {}


class RunWatch:
    """Asks Kubeflow Pipelines whether the run is being cancelled; no answer is no cancellation."""

    def __init__(self, request: KfpRequest) -> None:
        self._run_id = request.run_id
        self._client: KubeflowClient | None = None
        if request.kfp_endpoint:
            self._client = KubeflowClient(endpoint=request.kfp_endpoint, token_file=kubeflow_token_file())

    def is_cancelled(self) -> bool:
        if self._client is None:
            return False
        try:
            return self._client.run(self._run_id).state in (RunState.CANCELING, RunState.CANCELED)
        except KubeflowApiError as error:
            logger.warning("cannot tell whether the run is cancelled, so it is not: %s", error)
            return False


def _or_exit(call: Any) -> Any:
    """Errors of ours are one line in the step's log, not a traceback."""
    try:
        return call()
    except MimoError as error:
        _write(f"error: {error}\n")
        sys.exit(error.exit_code)


def _watch_sigterm() -> StopRequest:
    stop = StopRequest()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    return stop


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
