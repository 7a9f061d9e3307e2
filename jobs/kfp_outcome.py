"""What a step of Kubeflow Pipelines reads off a MimoPipeline: has its stage ended, why, must it be run anew? Pure."""

from __future__ import annotations

import uuid
from enum import StrEnum

from operators.mimo_pipeline import naming
from operators.mimo_pipeline.api import MimoPipelineSpec, Phase, RetryRequest, StageState, StageStatus
from operators.mimo_pipeline.conditions import VALID
from operators.mimo_pipeline.local.state import PipelineObject

# A configuration that the controller has not looked at yet is no refusal.
_NOT_YET = "not composed yet"
_HINTS = {
    StageState.AWAITING_APPROVAL: "waits for a person: mimo approve",
    StageState.SUSPENDED: "suspended: mimo resume",
}


class Outcome(StrEnum):
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ABSENT = "absent"


def stage_of(pipeline: PipelineObject, stage: str) -> StageStatus:
    return next((s for s in pipeline.status.stages if s.name == stage), StageStatus(name=stage))


def outcome_of(pipeline: PipelineObject, stage: str) -> Outcome:
    if stage not in {s.name for s in pipeline.spec.stages}:
        return Outcome.ABSENT
    if refusal(pipeline):
        return Outcome.FAILED
    state = stage_of(pipeline, stage).state
    if state == StageState.SUCCEEDED:
        return Outcome.SUCCEEDED
    if state in (StageState.FAILED, StageState.SKIPPED) or pipeline.status.phase == Phase.CANCELLED:
        return Outcome.FAILED
    return Outcome.WAITING


def refusal(pipeline: PipelineObject) -> str:
    """Why the controller does not take the spec; "" = it does."""
    for condition in pipeline.status.conditions:
        if condition.type == VALID and condition.status == "False" and condition.message != _NOT_YET:
            return f"{condition.reason}: {condition.message}"
    return ""


def why_failed(pipeline: PipelineObject, stage: StageStatus) -> str:
    if refused := refusal(pipeline):
        return f"the controller refuses the pipeline: {refused}"
    text = f"{stage.name} is {stage.state}" + (f" (attempt {stage.attempt})" if stage.attempt else "")
    parts = [text, stage.reason, stage.message]
    if pipeline.status.phase == Phase.CANCELLED:
        parts.insert(1, "the pipeline was cancelled")
    return ": ".join(part for part in parts if part)


def describe(pipeline: PipelineObject, stage: str) -> str:
    """One line that changes when a person should look, not with every step."""
    found = stage_of(pipeline, stage)
    text = f"{stage}: {found.state}" + (f", attempt {found.attempt}" if found.attempt else "")
    if found.reused:
        text += ", an earlier output is reused"
    hint = _HINTS.get(found.state) or ": ".join(part for part in (found.reason, found.message) if part)
    # A step that starts later tells of earlier attempts, too.
    return "; ".join(part for part in (f"{text} ({hint})" if hint else text, found.earlier_failure) if part)


def has_told_failure(pipeline: PipelineObject, stage: str) -> bool:
    """This failure made a step fail before: now that the step is started again, the stage shall be, too."""
    told = pipeline.metadata.annotations.get(naming.kubeflow_failure_annotation(stage))
    return outcome_of(pipeline, stage) == Outcome.FAILED and told == str(stage_of(pipeline, stage).attempt)


def retried(pipeline: PipelineObject, stage: str) -> MimoPipelineSpec:
    """The spec with a request to run the stage and what follows it anew; as it is while another request is open.

    Steps that are started again at the same time, and a step that died after asking, ask once each.
    """
    request = pipeline.spec.retry
    if request is not None and request.nonce != pipeline.status.handled_retry_nonce:
        return pipeline.spec
    if not has_told_failure(pipeline, stage):
        return pipeline.spec
    wanted = RetryRequest(from_stage=stage, nonce=f"kfp-{uuid.uuid4().hex[:12]}")
    return pipeline.spec.model_copy(update={"retry": wanted, "cancel": False})
