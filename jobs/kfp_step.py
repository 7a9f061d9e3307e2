"""One step of a run in Kubeflow Pipelines: follow one stage of a MimoPipeline to its end.

It creates or finds the pipeline, waits on the stage with a deadline while it copies the stage's log, and ends as the
stage ends. The operator drives; a step only shows, except that

- a step that starts again after it told a failure (retry in the UI) asks for the stage to be run anew;
- a run that Kubeflow Pipelines reports as CANCELING or CANCELED cancels the pipeline. SIGTERM alone may be a drained
  node: the step ends, the stage goes on, and the next step of this stage finds it where it is.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from jobs.kfp_logs import LogCopy
from jobs.kfp_outcome import Outcome, describe, has_told_failure, outcome_of, retried, stage_of, why_failed
from jobs.kfp_request import KfpRequest
from jobs.kfp_target import KfpTarget
from mimo_vl.errors import ConfigError, MimoError, RetryableError, ServiceUnavailableError
from mimo_vl.stop_request import StopRequest
from operators.mimo_pipeline import naming
from operators.mimo_pipeline.api import StageStatus
from operators.mimo_pipeline.local.state import PipelineObject

logger = logging.getLogger(__name__)
T = TypeVar("T")

# Pods are killed 30 s after SIGTERM; within that time the API must have been asked.
_ASK_EVERY_S = 10.0
_ASK_AFTER_SIGTERM_S = 20.0


class StageFailedError(MimoError):
    """The stage failed, or was skipped or cancelled."""


class StepStoppedError(RetryableError):
    """The step was asked to end, or its deadline passed; the stage goes on."""


@dataclass(kw_only=True)
class Step:
    """`is_cancelled` asks Kubeflow Pipelines; `stop` is set on SIGTERM; `write` goes into the step's log."""

    target: KfpTarget
    request: KfpRequest
    stage: str
    is_cancelled: Callable[[], bool]
    write: Callable[[str], object]
    tick_s: float
    stop: StopRequest = field(default_factory=StopRequest)
    monotonic_s: Callable[[], float] = time.monotonic
    sleep: Callable[[float], object] = time.sleep
    _until_s: float = field(default=0.0, init=False)
    _uid: str = field(default="", init=False)
    _told: str = field(default="", init=False)

    def run(self) -> StageStatus | None:
        """The stage's status at its end; None = the pipeline has no such stage.

        Raises:
            StageFailedError: with the reason that the status gives.
            StepStoppedError: the step ends, the stage does not.
            ConfigError: the pipeline cannot be made, or belongs to somebody else.
        """
        self._until_s = self.monotonic_s() + self.request.deadline_s
        pipeline = self._patiently(lambda: ensure_pipeline(self.target, self.request))
        self._uid = pipeline.metadata.uid
        self.write(f"{pipeline.run_id}: stage {self.stage}\n")
        if self._may_steer(pipeline) and has_told_failure(pipeline, self.stage):
            self._retry()
        return self._follow()

    def _follow(self) -> StageStatus | None:
        log = LogCopy(self.target, self.stage, self.write)
        asked_s = self.monotonic_s()
        while True:
            pipeline = self._load()
            self._tell(pipeline)
            log.copy(pipeline)
            outcome = outcome_of(pipeline, self.stage)
            if outcome != Outcome.WAITING:
                log.copy_rest(pipeline)
                return self._conclude(pipeline, outcome)
            if self.monotonic_s() - asked_s >= _ASK_EVERY_S:
                asked_s = self.monotonic_s()
                self._cancel_if_asked()
            self._pause()

    def _conclude(self, pipeline: PipelineObject, outcome: Outcome) -> StageStatus | None:
        if outcome == Outcome.ABSENT:
            self.write(f"{self.stage} is not a stage of this pipeline: nothing to do\n")
            return None
        stage = stage_of(pipeline, self.stage)
        if outcome == Outcome.SUCCEEDED:
            return stage
        if self._may_steer(pipeline):
            self._tell_failure(stage)
        raise StageFailedError(why_failed(pipeline, stage))

    def _tell_failure(self, stage: StageStatus) -> None:
        note = {naming.kubeflow_failure_annotation(self.stage): str(stage.attempt)}
        self._patiently(lambda: self.target.annotate(note))

    def _retry(self) -> None:
        """Ask for it, once nobody else's request is open, and wait until the controller has taken it up."""
        while True:
            self._patiently(lambda: self.target.edit(lambda found: retried(found, self.stage)))
            pipeline = self._load()
            request = pipeline.spec.retry
            if request is None or pipeline.status.handled_retry_nonce == request.nonce:
                # Handled already between the two calls, or the stage needs none any more.
                return
            if request.from_stage == self.stage:
                break
            self._pause()
        self.write(f"asked for {self.stage} to be run anew\n")
        while self._load().status.handled_retry_nonce != request.nonce:
            self._pause()

    def _load(self) -> PipelineObject:
        pipeline = self._patiently(self.target.load)
        if pipeline.metadata.uid != self._uid:
            raise ConfigError(f"{pipeline.metadata.name} was deleted and made anew meanwhile; start a new run")
        return pipeline

    def _may_steer(self, pipeline: PipelineObject) -> bool:
        """This run made the pipeline, or the operator started it to show the pipeline."""
        made_by = pipeline.metadata.annotations.get(naming.ANNOTATION_KUBEFLOW_RUN)
        return self.request.run_id in (made_by, pipeline.status.kubeflow_run)

    def _tell(self, pipeline: PipelineObject) -> None:
        """A line whenever the state changes."""
        text = "\n".join([describe(pipeline, self.stage), *self.target.notes(pipeline)])
        if text != self._told:
            self._told = text
            self.write(f"{text}\n")

    def _pause(self) -> None:
        if self.stop.is_set():
            self._stopped()
        if self.monotonic_s() >= self._until_s:
            raise StepStoppedError(
                f"deadline_s: {self.stage} did not end within {self.request.deadline_s:.0f} s; it goes on, "
                "retry this step to follow it again"
            )
        self.sleep(self.tick_s)

    def _patiently(self, call: Callable[[], T]) -> T:
        """Until the cluster answers: an outage of its API server ends no step."""
        while True:
            try:
                return call()
            except ServiceUnavailableError as error:
                logger.warning("%s", error)
                self._pause()

    def _cancel_if_asked(self) -> None:
        if not self.is_cancelled():
            return
        try:
            self._cancel()
        except ServiceUnavailableError as error:
            # Asked again a little later; waiting here would use up the time that is left after SIGTERM.
            logger.warning("not cancelled yet: %s", error)

    def _cancel(self) -> None:
        pipeline = self.target.load()
        if not self._may_steer(pipeline):
            raise StepStoppedError("the run is cancelled; the pipeline belongs to somebody else and goes on")
        attempt = stage_of(pipeline, self.stage).attempt
        self.target.annotate({naming.kubeflow_failure_annotation(self.stage): str(attempt)})
        self.target.edit(lambda found: found.spec.model_copy(update={"cancel": True}))
        raise StageFailedError(f"the run was cancelled in Kubeflow Pipelines; {self.stage} is stopped")

    def _stopped(self) -> None:
        until_s = self.monotonic_s() + _ASK_AFTER_SIGTERM_S
        while self.monotonic_s() < until_s:
            self._cancel_if_asked()
            self.sleep(min(1.0, self.tick_s))
        raise StepStoppedError(f"asked to end (SIGTERM) and the run is not cancelled: {self.stage} goes on")


def ensure_pipeline(target: KfpTarget, request: KfpRequest) -> PipelineObject:
    """Create or find it.

    Raises:
        ConfigError: there is one of this name that this run neither made nor was told to follow.
    """
    found = target.find()
    if found is None and not request.follow:
        target.create(request)
        found = target.find()
    if found is None:
        raise ConfigError(f"name: no MimoPipeline {request.object_name!r} to follow; leave `follow` off to create one")
    metadata = found.metadata
    if request.follow or metadata.annotations.get(naming.ANNOTATION_KUBEFLOW_RUN) == request.run_id:
        return found
    if metadata.labels.get(naming.LABEL_MADE_BY) != naming.MADE_BY_KUBEFLOW:
        raise ConfigError(
            f"name: MimoPipeline {metadata.name!r} exists and was not made by Kubeflow Pipelines; "
            "set `follow` to look at it, or choose another name"
        )
    return target.adopt(request)
