"""What the controller answers: phase, every stage, what was frozen at the start, conditions."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, JsonValue

from operators.mimo_pipeline.api_model import ApiModel, Digest, Message, ShortText, StageName, Uri

# A progress record with more is cut: objects in the API server stay small.
MAX_METRICS = 64


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


def _fewest(metrics: Any) -> Any:
    return dict(sorted(metrics.items())[:MAX_METRICS]) if isinstance(metrics, dict) else metrics


class StageProgress(ApiModel):
    """Written by the stage itself: what is too long is cut, never refused."""

    step: int
    total: int = 0
    """0 = not known."""
    unit: ShortText = "steps"
    message: Annotated[Message, BeforeValidator(_cut)] = ""
    metrics: Annotated[dict[str, float], BeforeValidator(_fewest)] = Field(default_factory=dict, max_length=MAX_METRICS)


class StageStatus(ApiModel):
    name: StageName
    state: StageState = StageState.PENDING
    attempt: int = 0
    """The latest attempt; 0 = none yet."""
    key: Digest = ""
    output_uri: Uri = ""
    digest: Digest = ""
    reused: bool = False
    reason: ShortText = ""
    message: Message = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    progress: StageProgress | None = None
    exit_code: int | None = None
    failures: int = 0
    """Attempts that count against retry.maxAttempts."""
    free_resumes: int = 0
    """Unexplained exits with 75 in a row, without a newer checkpoint."""
    resume_step: int = -1
    """Checkpoint step that the latest attempt started from; -1 = none."""
    not_before: datetime | None = None
    """End of the back-off."""
    stopped_attempt: int = 0
    """The attempt that the controller itself stopped: its end is explained."""
    fresh_after_attempt: int = 0
    """Set by a retry request: checkpoints of attempts up to this one, and earlier outputs, are not used."""
    rerun: bool = False
    """True from a retry request until the stage has its new output: the earlier one is not reused."""


class PipelineRuntime(ApiModel):
    """Frozen at the start for all attempts, so that an upgraded controller changes nothing half-way."""

    config: dict[str, JsonValue] = Field(default_factory=dict)
    """The composed configuration."""
    config_digests: dict[str, Digest] = Field(default_factory=dict, max_length=64)
    """Stage name -> digest of the configuration that its result depends on."""
    code_digest: Digest = ""
    image_digests: dict[str, Uri] = Field(default_factory=dict, max_length=16)
    spec_digest: Digest = ""


class Condition(ApiModel):
    type: str = Field(max_length=316)
    status: Literal["True", "False", "Unknown"]
    reason: str = Field(max_length=1024)
    message: str = Field(default="", max_length=32768)
    observed_generation: int = 0
    last_transition_time: datetime


class MimoPipelineStatus(ApiModel):
    """Written by the controller only."""

    observed_generation: int = 0
    phase: Phase = Phase.PENDING
    current_stage: str = Field(default="", max_length=40)
    """The stage that the next four fields are about: the one that runs, waits or failed; empty when all succeeded."""
    progress: ShortText = ""
    """Steps of the current stage, such as 12/40; stages that succeeded where none is current."""
    attempt: int = 0
    message: Message = ""
    mlflow: Uri = ""
    """Address of the run in the tracking server."""
    kubeflow_run: ShortText = ""
    """Id of the run in Kubeflow Pipelines that the operator started to show this pipeline."""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    runtime: PipelineRuntime | None = None
    stages: tuple[StageStatus, ...] = Field(default=(), max_length=64)
    conditions: tuple[Condition, ...] = Field(default=(), max_length=16)
    handled_retry_nonce: str = Field(default="", max_length=64)

    def stage(self, name: str) -> StageStatus:
        return next(s for s in self.stages if s.name == name)
