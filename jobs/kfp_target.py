"""Where a step of Kubeflow Pipelines finds its MimoPipeline: in a run folder on this machine, or on a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from jobs.cli_follow import NOTE
from jobs.cli_target import ClusterTarget, LocalTarget, Target
from jobs.kfp_pod_log import PodLogPlace
from jobs.kfp_request import KfpRequest, cluster_object
from mimo_vl.errors import ConfigError, InputError
from operators.mimo_pipeline.kubernetes.api_client import ChangedMeanwhileError, PipelineClient
from operators.mimo_pipeline.local.begin import Wanted, begin
from operators.mimo_pipeline.local.state import PipelineObject, RunFolder

_MAX_TRIES = 5


@dataclass(frozen=True, kw_only=True)
class LogPart:
    name: str
    text: str
    is_whole: bool
    """The log from its beginning; else what was added since the last call."""
    follows: bool = True
    """Of what was added: nothing is missing before it."""


class KfpTarget(Target, Protocol):
    def find(self) -> PipelineObject | None: ...

    def log_parts(self, stage: str, attempt: int, node: int | None) -> Iterator[LogPart]:
        """What there is to copy of an attempt's logs now."""
        ...

    def create(self, request: KfpRequest) -> None:
        """No error if another step was first."""
        ...

    def annotate(self, annotations: Mapping[str, str]) -> None: ...

    def adopt(self, request: KfpRequest) -> PipelineObject:
        """Go on with what an earlier run in Kubeflow Pipelines made here. Raises ConfigError where that cannot be."""
        ...


def open_kfp_target(request: KfpRequest) -> KfpTarget:
    if request.run_dir:
        return LocalPipeline(Path(request.run_dir))
    from operators.mimo_pipeline.kubernetes.in_cluster import connect_from_anywhere

    return ClusterPipeline(connect_from_anywhere(request.namespace), request.object_name)


class LocalPipeline(LocalTarget):
    """The controller is `mimo run` on the same folder, started by somebody else."""

    def __init__(self, run_dir: Path) -> None:
        super().__init__(run_dir)
        self._run_folder = RunFolder(run_dir)

    def find(self) -> PipelineObject | None:
        return self._run_folder.load_or_none()

    def log_parts(self, stage: str, attempt: int, node: int | None) -> Iterator[LogPart]:
        for name, text in self.logs(stage, attempt, node):
            yield LogPart(name=name, text=text, is_whole=True)

    def create(self, request: KfpRequest) -> None:
        if request.inputs or request.storage:
            raise ConfigError("inputs, storage: for clusters; on one machine set storage.* by overrides")
        from jobs.cli_run import RunRequest, resolve

        wanted = RunRequest(
            profile=request.profile,
            run_dir=self._run_folder.path,
            overrides=request.overrides,
            stages=request.stages,
            through=request.through,
        )
        _, resolved = resolve(wanted)
        if request.from_stage and request.from_stage not in {s.name for s in resolved.spec.stages}:
            raise ConfigError(f"from_stage: {request.from_stage!r} is not in this run")
        spec = resolved.spec.model_copy(update={"retry": request.retry})
        begin(self._run_folder, Wanted(spec=spec, runtime=resolved.runtime, **request.metadata))

    def annotate(self, annotations: Mapping[str, str]) -> None:
        self._run_folder.annotate(annotations)

    def adopt(self, request: KfpRequest) -> PipelineObject:
        """As `mimo run` does: the same goes on, anything else is a new pipeline that reuses what it can."""
        self.create(request)
        self._run_folder.annotate(request.metadata["annotations"])
        retry = request.retry
        if retry is None:
            return self._run_folder.load()
        return self._run_folder.edit_spec(lambda found: found.spec.model_copy(update={"retry": retry}))


class ClusterPipeline(ClusterTarget):
    def __init__(self, client: PipelineClient, name: str) -> None:
        super().__init__(client, name)
        self._pipelines, self._object_name = client, name
        self._places: dict[str, PodLogPlace] = {}

    def load(self) -> PipelineObject:
        """Without a look at the names of other pipelines, which the account of a step may not list."""
        found = self.find()
        if found is None:
            raise InputError(f"MimoPipeline {self._object_name} was deleted in namespace {self._pipelines.namespace}")
        return found

    def find(self) -> PipelineObject | None:
        from operators.mimo_pipeline.cluster_control import parse_object

        try:
            raw = self._pipelines.get(self._object_name)
        except InputError:
            # The client's answer to 404 on the object itself.
            return None
        return parse_object(raw)

    def log_parts(self, stage: str, attempt: int, node: int | None) -> Iterator[LogPart]:
        """Of pods what is new: a stage may write for days. Once they are gone, all of it from the store."""
        logs = self._logs(stage, attempt, node)
        pods = logs.pods()
        if not pods:
            whole = (LogPart(name=name, text=text, is_whole=True) for name, text in logs.read())
            yield from (part for part in whole if not part.text.startswith(NOTE))
        for pod in pods:
            if pod.waits:
                continue
            place = self._places.setdefault(pod.name, PodLogPlace())
            new = place.take(self._pipelines.stamped_pod_log(pod.name, place.since))
            yield LogPart(name=pod.name, text=new.text, is_whole=False, follows=new.follows)

    def create(self, request: KfpRequest) -> None:
        body = cluster_object(request)
        try:
            self._pipelines.create(body)
        except ConfigError:
            if self.find() is None:
                raise

    def adopt(self, request: KfpRequest) -> PipelineObject:
        raise ConfigError(
            f"name: MimoPipeline {request.object_name!r} belongs to another run in Kubeflow Pipelines; "
            "choose another name, or set `follow` to look at it"
        )

    def annotate(self, annotations: Mapping[str, str]) -> None:
        for last in reversed(range(_MAX_TRIES)):
            try:
                raw = self._pipelines.get(self._object_name)
                self._pipelines.patch(self._object_name, annotation_patch(raw, annotations))
            except ChangedMeanwhileError:
                if last == 0:
                    raise
            else:
                return


def annotation_patch(raw: Mapping[str, Any], annotations: Mapping[str, str]) -> list[dict[str, Any]]:
    """JSON patch that holds only if nobody wrote the object since `raw` was read."""
    metadata = raw["metadata"]
    operations: list[dict[str, Any]] = [
        {"op": "test", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]}
    ]
    # The map as a whole: names of annotations hold slashes, and a missing map has no place for one of them.
    merged = {**(metadata.get("annotations") or {}), **annotations}
    operations.append({"op": "add", "path": "/metadata/annotations", "value": merged})
    return operations
