"""What the controller answers: phase, every stage, what was frozen at the start, conditions."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, JsonValue

from operators.mimo_pipeline.api_model import (
    MAX_COUNT,
    ApiModel,
    Count,
    Digest,
    ExitCode,
    Message,
    ShortText,
    StageName,
    Uri,
)
from operators.mimo_pipeline.storage_settings import StoreSettings, TrackingSettings

# A progress record with more is cut: objects in the API server stay small.
MAX_METRICS = 64
# As in metav1.Condition.
MAX_CONDITION_MESSAGE = 32_768


class Phase(StrEnum):
    PENDING = "Pending"
    RUNNING = "Running"
    AWAITING_APPROVAL = "AwaitingApproval"
    SUSPENDED = "Suspended"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"


TERMINAL_PHASES = frozenset({Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED})


class StageState(StrEnum):
    PENDING = "Pending"
    QUEUED = "Queued"
    RUNNING = "Running"
    AWAITING_APPROVAL = "AwaitingApproval"
    RETRYING = "Retrying"
    SUSPENDED = "Suspended"
    SUCCEEDED = "Succeeded"
    SKIPPED = "Skipped"
    FAILED = "Failed"


TERMINAL_STATES = frozenset({StageState.SUCCEEDED, StageState.SKIPPED, StageState.FAILED})
ACTIVE_STATES = frozenset({StageState.QUEUED, StageState.RUNNING})


def _cut(text: Any) -> Any:
    return text[:1024] if isinstance(text, str) else text


def _bounded(number: Any) -> Any:
    return min(max(number, 0), MAX_COUNT) if isinstance(number, int) else number


def _fewest(metrics: Any) -> Any:
    return dict(sorted(metrics.items())[:MAX_METRICS]) if isinstance(metrics, dict) else metrics


class StageProgress(ApiModel):
    """Written by the stage itself: what is too long is cut, never refused."""

    step: Annotated[Count, BeforeValidator(_bounded)]
    """Where the stage is."""
    total: Annotated[Count, BeforeValidator(_bounded)] = 0
    """0 = not known."""
    unit: ShortText = "steps"
    """What a step is."""
    message: Annotated[Message, BeforeValidator(_cut)] = ""
    """What it is doing."""
    metrics: Annotated[dict[str, float], BeforeValidator(_fewest)] = Field(default_factory=dict, max_length=MAX_METRICS)
    """The latest values, such as the loss."""


class LastFailure(ApiModel):
    """The latest attempt that ended without success: failed, evicted, interrupted, lost or revoked."""

    attempt: Count
    """Which attempt it was."""
    reason: ShortText = ""
    """Why it ended, as one word."""
    message: Message = ""
    """The same for people."""
    exit_code: ExitCode | None = None
    """Of that attempt; not set when it left none."""


class StageStatus(ApiModel):
    name: StageName
    """As in the spec."""
    state: StageState = StageState.PENDING
    """Where the stage stands."""
    attempt: Count = 0
    """The latest attempt; 0 = none yet."""
    key: Digest = ""
    """Identity of the work; equal keys are reused."""
    output_uri: Uri = ""
    """Where its output lies."""
    digest: Digest = ""
    """Content digest of its output."""
    reused: bool = False
    """True when the output is that of earlier work with the same key."""
    reason: ShortText = ""
    """Why it is in this state, as one word."""
    message: Message = ""
    """The same for people."""
    started_at: datetime | None = None
    """Start of its first attempt."""
    finished_at: datetime | None = None
    """When it ended."""
    progress: StageProgress | None = None
    exit_code: ExitCode | None = None
    """Of the latest attempt, once it has ended."""
    image_id: Uri = ""
    """Image that the latest attempt's pods run, by digest, as their node says."""
    last_failure: LastFailure | None = None
    """Kept while later attempts run, and after one of them succeeded."""
    running_seconds: float = Field(default=0.0, ge=0, le=MAX_COUNT)
    """Time that attempts ran, from their first running pod until none was left; of all attempts that have ended."""
    running_since: datetime | None = None
    """The same of the attempt that runs now began here."""
    failures: Count = 0
    """Attempts that count against retry.maxAttempts."""
    free_resumes: Count = 0
    """Unexplained exits with 75 in a row, without a newer checkpoint."""
    resume_step: int = Field(default=-1, ge=-1, le=MAX_COUNT)
    """Checkpoint step that the latest attempt started from; -1 = none."""
    not_before: datetime | None = None
    """End of the back-off."""
    stopped_attempt: Count = 0
    """The attempt that the controller itself stopped: its end is explained."""
    fresh_after_attempt: Count = 0
    """Set by a retry request: checkpoints of attempts up to this one, and earlier outputs, are not used."""
    rerun: bool = False
    """True from a retry request until the stage has its new output: the earlier one is not reused."""

    @property
    def earlier_failure(self) -> str:
        """Why an attempt before the latest one ended, for people: all that is left of it once the next one goes on."""
        failure = self.last_failure
        if failure is None or failure.attempt == self.attempt:
            return ""
        return ": ".join(part for part in (f"attempt {failure.attempt}", failure.reason, failure.message) if part)


class PipelineRuntime(ApiModel):
    """Frozen at the start for all attempts, so that an upgraded controller changes nothing half-way."""

    config: dict[str, JsonValue] = Field(default_factory=dict)
    """The composed configuration."""
    config_digests: dict[str, Digest] = Field(default_factory=dict, max_length=64)
    """Stage name -> digest of the configuration that its result depends on."""
    code_digest: Digest = ""
    """Sources and lock files."""
    image_digests: dict[str, Uri] = Field(default_factory=dict, max_length=16)
    """References of the images of stages: by tag until a node has said which digest it runs, then by that."""
    workloads: dict[str, JsonValue] = Field(default_factory=dict)
    """What the operator's settings put into jobs and pods; on one machine empty."""
    store: StoreSettings | None = None
    """Where all attempts keep their artifacts; on one machine not set."""
    tracking: TrackingSettings | None = None
    """Where all attempts send their metrics; on one machine not set."""
    spec_digest: Digest = ""
    """What of the spec must not change."""


class Condition(ApiModel):
    type: str = Field(max_length=316)
    """What is said, such as Valid."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    reason: str = Field(max_length=1024)
    """Why, as one word."""
    message: str = Field(default="", max_length=MAX_CONDITION_MESSAGE)
    """The same for people."""
    observed_generation: Count = 0
    """Generation of the spec that it is about."""
    last_transition_time: datetime
    """When `status` last changed."""


class MimoPipelineStatus(ApiModel):
    """Written by the controller only."""

    observed_generation: Count = 0
    """Generation of the spec that the controller has seen."""
    phase: Phase = Phase.PENDING
    """Where the pipeline stands."""
    current_stage: str = Field(default="", max_length=40)
    """The stage that the next four fields are about: the one that runs, waits or failed; empty when all succeeded."""
    progress: ShortText = ""
    """Steps of the current stage, such as 12/40; stages that succeeded where none is current."""
    attempt: Count = 0
    """Attempt of the current stage."""
    message: Message = ""
    """What the current stage does, or why it does not."""
    mlflow: Uri = ""
    """Address of the run in the tracking server."""
    kubeflow_run: ShortText = ""
    """Id of the run in Kubeflow Pipelines that the operator started to show this pipeline."""
    started_at: datetime | None = None
    """When the configuration was frozen and work began."""
    finished_at: datetime | None = None
    """When it ended."""
    runtime: PipelineRuntime | None = None
    stages: tuple[StageStatus, ...] = Field(default=(), max_length=64)
    """One entry per stage of the spec."""
    conditions: tuple[Condition, ...] = Field(default=(), max_length=16)
    """What keeps the pipeline from going on, and what holds of it."""
    handled_retry_nonce: str = Field(default="", max_length=64)
    """Nonce of the latest retry that was carried out."""

    def stage(self, name: str) -> StageStatus:
        return next(s for s in self.stages if s.name == name)
