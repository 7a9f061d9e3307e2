"""What the controller saw and what it decided: observations in, Plan out. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from mimo_vl.schema.verdict import AttemptVerdict
from operators.mimo_pipeline.api import MimoPipelineStatus, PipelineRuntime, StageProgress


class LeafPhase(StrEnum):
    """Phase of one attempt's job, the same for every backend."""

    QUEUED = "Queued"
    STARTING = "Starting"
    RUNNING = "Running"
    SUSPENDED = "Suspended"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    INTERRUPTED = "Interrupted"
    GONE = "Gone"


@dataclass(frozen=True, kw_only=True)
class Output:
    """A finished artifact: from this attempt's manifest or from the key index."""

    uri: str
    digest: str
    key: str
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class StageObservation:
    """One attempt, as seen in the world. `alive` = some process of it is left, terminating ones included."""

    stage: str
    attempt: int
    phase: LeafPhase
    alive: bool
    key: str = ""
    headless: bool = False
    """The launcher is dead but processes of its group live: nobody will reap or record them."""
    terminating_s: float | None = None
    """Seconds since it was asked to stop; None = it was not."""
    stop_grace_s: float = 0.0
    """Time that its world itself gives it to end after that (a pod's grace period); it is not killed before."""
    exit_code: int | None = None
    is_oom: bool = False
    is_evicted: bool = False
    reason: str = ""
    """The process's own word for why it ended, such as DiskFull."""
    message: str = ""
    output: Output | None = None
    finishing_s: float | None = None
    """Seconds since the manifest was written."""
    checkpoint_step: int | None = None
    verdict: AttemptVerdict | None = None
    """That the controller has written already; None while it lives."""
    progress: StageProgress | None = None
    image_id: str = ""
    """Image of its pods, by digest; empty where there are none."""
    object_exists: bool = False
    """A finished job object that the TTL may delete."""


@dataclass(frozen=True, kw_only=True)
class Observed:
    """`outputs_by_key`: what the key index says for the keys that were looked up; None = nothing usable."""

    attempts: tuple[StageObservation, ...] = ()
    outputs_by_key: Mapping[str, Output | None] = field(default_factory=dict)
    runtime: PipelineRuntime | None = None
    """Composed configuration and code version as of now; frozen into the status at the start."""
    problems: tuple[str, ...] = ()
    """Why the configuration cannot be composed."""
    generation: int = 1
    pipeline: str = ""
    """metadata.name"""
    tracking_url: str = ""
    """Address of the run in the tracking server; empty = not known (yet)."""

    def of(self, stage: str) -> list[StageObservation]:
        return sorted((a for a in self.attempts if a.stage == stage), key=lambda a: a.attempt)


@dataclass(frozen=True, kw_only=True)
class InputArtifact:
    uri: str
    digest: str


@dataclass(frozen=True, kw_only=True)
class IndexEntry:
    """A finished output to be found by its key from now on."""

    stage: str
    key: str
    uri: str
    digest: str


@dataclass(frozen=True, kw_only=True)
class Conclude:
    """Leave the verdict with the attempt, for windows that know no status: the report and the tracking server."""

    stage: str
    attempt: int
    verdict: AttemptVerdict


@dataclass(frozen=True, kw_only=True)
class Create:
    """Start one attempt."""

    stage: str
    attempt: int
    key: str
    inputs: Mapping[str, InputArtifact]
    resume_attempt: int | None = None
    """Earlier attempt whose checkpoints are continued."""


@dataclass(frozen=True, kw_only=True)
class Delete:
    """Stop one attempt: ask first, kill when `force`. For a finished one, remove its job object."""

    stage: str
    attempt: int
    force: bool = False


class EventType(StrEnum):
    NORMAL = "Normal"
    WARNING = "Warning"


@dataclass(frozen=True, kw_only=True)
class Event:
    type: EventType
    reason: str
    message: str
    stage: str = ""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Apply in this order: conclude, create, index, status, delete. Each step may be lost in a crash and is planned
    again.
    """

    conclude: tuple[Conclude, ...] = ()
    create: tuple[Create, ...] = ()
    index: tuple[IndexEntry, ...] = ()
    status: MimoPipelineStatus | None = None
    """None = unchanged."""
    delete: tuple[Delete, ...] = ()
    events: tuple[Event, ...] = ()
    requeue_after_s: float | None = None

    @property
    def is_empty(self) -> bool:
        return not (self.conclude or self.create or self.index or self.delete or self.events) and self.status is None
