"""A MimoPipeline that a step of Kubeflow Pipelines follows, in memory; a script plays the controller."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from jobs.kfp_request import KfpRequest
from jobs.kfp_step import Step
from jobs.kfp_target import LogPart
from mimo_vl.errors import ConfigError, InputError, ServiceUnavailableError
from operators.mimo_pipeline import naming
from operators.mimo_pipeline.api import MimoPipelineSpec, MimoPipelineStatus, StageStatus
from operators.mimo_pipeline.local.state import Metadata, PipelineObject
from tests.fakes.pipelines import chain, started

UID = "0123abcd-0000-4000-8000-000000000000"
RUN = "11112222-3333-4444-8555-666677778888"


class FakeKfpTarget:
    def __init__(self, pipeline: PipelineObject | None = None) -> None:
        self.pipeline = pipeline
        self.texts: dict[tuple[str, int], dict[str, str]] = {}
        self.asked_nodes: list[int | None] = []
        self.num_created = 0
        self.written_notes: list[str] = []
        self.is_away = False
        self.before_edit: Callable[[], None] | None = None
        """Called once."""

    def find(self) -> PipelineObject | None:
        self._answer()
        return self.pipeline

    def load(self) -> PipelineObject:
        self._answer()
        if self.pipeline is None:
            raise InputError("no such pipeline")
        return self.pipeline

    def create(self, request: KfpRequest) -> None:
        self.num_created += 1
        self.pipeline = made_by(request)

    def adopt(self, request: KfpRequest) -> PipelineObject:
        raise ConfigError("belongs to another run")

    def annotate(self, annotations: Mapping[str, str]) -> None:
        metadata = self.load().metadata
        merged = {**metadata.annotations, **annotations}
        self._change(metadata=metadata.model_copy(update={"annotations": merged}))

    def edit(self, change: Callable[[PipelineObject], MimoPipelineSpec]) -> str:
        if self.before_edit is not None:
            call, self.before_edit = self.before_edit, None
            call()
        self._change(spec=change(self.load()))
        return "the fake acts on it"

    def log_parts(self, stage: str, attempt: int, node: int | None) -> Iterator[LogPart]:
        self.asked_nodes.append(node)
        if (stage, attempt) not in self.texts:
            raise InputError("its pods are gone")
        for name, text in self.texts[stage, attempt].items():
            yield LogPart(name=name, text=text, is_whole=True)

    def notes(self, _: PipelineObject) -> list[str]:
        return self.written_notes

    def show(self, *stages: StageStatus, **changes: object) -> None:
        """What the controller writes into the status; stages not given are Pending."""
        status = started(self.load().spec, *stages)
        self._change(status=status.model_copy(update=changes))

    def handle_retry(self, *stages: StageStatus) -> None:
        request = self.load().spec.retry
        assert request is not None, "nobody asked for a retry"
        self.show(*stages, handled_retry_nonce=request.nonce)

    def _answer(self) -> None:
        if self.is_away:
            raise ServiceUnavailableError("cluster: 503; try again")

    def _change(self, **changes: object) -> None:
        self.pipeline = self.load().model_copy(update=changes)


class World:
    """Clock and script: every pause of the step plays the next act, and the time goes on."""

    def __init__(self, target: FakeKfpTarget, **parameters: object) -> None:
        self.target, self.request = target, request(**parameters)
        self.now_s = 0.0
        self.script: list[Callable[[], object]] = []
        self.told = ""
        self.is_cancelled = False
        self.step = Step(
            target=target,
            request=self.request,
            stage="b",
            is_cancelled=lambda: self.is_cancelled,
            write=self._write,
            tick_s=5.0,
            monotonic_s=lambda: self.now_s,
            sleep=self._sleep,
        )

    def play(self, *acts: Callable[[], object]) -> StageStatus | None:
        self.script = list(acts)
        return self.step.run()

    def _write(self, text: str) -> None:
        self.told += text

    def _sleep(self, duration_s: float) -> None:
        self.now_s += duration_s
        if self.script:
            self.script.pop(0)()
        assert self.now_s < 1e6, "the step never ends"


def request(**parameters: object) -> KfpRequest:
    values: dict[str, object] = {"run_id": RUN, "profile": "tiny", "deadline_s": 600.0}
    return KfpRequest(**{**values, **parameters})


def made_by(made: KfpRequest, **metadata: object) -> PipelineObject:
    values = {"name": made.object_name, "namespace": "train", "uid": UID, **made.metadata, **metadata}
    return PipelineObject(metadata=Metadata(**values), spec=chain(), status=MimoPipelineStatus())


def mine() -> PipelineObject:
    return made_by(request())


def failure_told(attempt: int) -> dict[str, str]:
    return {naming.ANNOTATION_KUBEFLOW_RUN: RUN, naming.kubeflow_failure_annotation("b"): str(attempt)}
