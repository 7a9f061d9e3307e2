"""What a report is about: a run, its stages and their attempts, each as one value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from mimo_vl.evaluation.collect import RunMaterial, StageOutput
from mimo_vl.reporting.curves import StageCurves
from mimo_vl.reporting.data_cards import DataCard
from mimo_vl.reporting.lineage import Artifact
from mimo_vl.schema.verdict import AttemptEnd


class AttemptState(StrEnum):
    SUCCEEDED = "Succeeded"
    RUNNING = "Running"
    FAILED = AttemptEnd.FAILED
    KILLED = AttemptEnd.KILLED
    INTERRUPTED = AttemptEnd.INTERRUPTED


@dataclass(frozen=True, kw_only=True)
class Attempt:
    number: int
    state: AttemptState
    reason: str = ""
    message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    exit_code: int | None = None
    peak_pss_bytes: int = 0
    hostname: str = ""
    tracking_run: str = ""
    uri: str = ""

    @property
    def seconds(self) -> float | None:
        """The start of its processes included."""
        if self.started_at is None or self.finished_at is None:
            return None
        return max(0.0, (self.finished_at - self.started_at).total_seconds())


@dataclass(frozen=True, kw_only=True)
class WatchedTimes:
    """Of an attempt, by the controller's clock. None where no controller looked at that moment."""

    created_at: datetime | None = None
    """When it began to start the attempt: before the first process of it existed."""
    ended_at: datetime | None = None
    """When it saw that no process of it was left."""


@dataclass(frozen=True, kw_only=True)
class KnownStage:
    """What the controller says about a stage; without a controller the store alone speaks."""

    name: str
    depends_on: Sequence[str] = ()
    state: str = ""
    attempt: int = 0
    reason: str = ""
    message: str = ""
    output_uri: str = ""
    reused: bool = False
    progress: str = ""
    """Such as 12/40 steps, of a stage that runs."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """`output`: what it published, None if it did not. `seconds`: of all its attempts together."""

    known: KnownStage
    attempts: Sequence[Attempt] = ()
    output: StageOutput | None = None
    uri: str = ""

    @property
    def name(self) -> str:
        return self.known.name

    @property
    def state(self) -> str:
        return "Reused" if self.known.reused else self.known.state

    @property
    def digest(self) -> str:
        return self.output.manifest.content_digest if self.output else ""

    @property
    def metrics(self) -> Mapping[str, float]:
        return self.output.manifest.metrics if self.output else {}

    @property
    def seconds(self) -> float | None:
        known = [a.seconds for a in self.attempts if a.seconds is not None]
        return sum(known) if known and not self.known.reused else None

    @property
    def tokens_per_second(self) -> float | None:
        tokens, seconds = self.metrics.get("tokens"), self.seconds
        return tokens / seconds if tokens and seconds else None


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Where and with what it ran. `machines`: by stage attempt, as the stages wrote them down."""

    config: Mapping[str, Any] = field(default_factory=dict)
    code_digest: str = ""
    images: Mapping[str, str] = field(default_factory=dict)
    machines: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Run:
    """Everything a report shows. `material`: evaluation, pictures and examples."""

    title: str
    run_id: str = ""
    phase: str = ""
    message: str = ""
    profile: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    tracking_url: str = ""
    stages: Sequence[Stage] = ()
    material: RunMaterial
    curves: Sequence[StageCurves] = ()
    artifacts: Sequence[Artifact] = ()
    data_cards: Sequence[DataCard] = ()
    environment: Environment = field(default_factory=Environment)

    @property
    def total_seconds(self) -> float | None:
        """In which there was an attempt, those included whose outputs are reused; None before the end, or if not known.

        The start of processes counts, as somebody waits for it. Not from start to end: a run that was stopped for a
        night did not take that long, and one that reuses everything was not done in seconds.
        """
        attempts = [a for s in self.stages for a in s.attempts]
        spans = sorted((a.started_at, a.finished_at) for a in attempts if a.started_at and a.finished_at)
        if self.finished_at is None or not spans:
            return None
        total, until = 0.0, spans[0][0]
        for start, end in spans:
            total += max(0.0, (end - max(start, until)).total_seconds())
            until = max(until, end)
        return total

    @property
    def peak_pss_bytes(self) -> int:
        return max((a.peak_pss_bytes for s in self.stages for a in s.attempts), default=0)
