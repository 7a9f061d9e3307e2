"""The working copy that one reconcile builds its Plan in: stage statuses by name, and the actions so far."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from operators.mimo_pipeline.api import MimoPipelineSpec, MimoPipelineStatus, Phase, StageState, StageStatus
from operators.mimo_pipeline.plan import (
    Conclude,
    Create,
    Delete,
    Event,
    EventType,
    IndexEntry,
    Observed,
    Plan,
    StageObservation,
)
from operators.mimo_pipeline.stage_graph import topological

# Characters of a message and of a reason that are kept in the status (Kubernetes objects stay small).
MAX_MESSAGE, MAX_REASON = 1024, 128


class Draft:
    """Mutable, lives for one call of reconcile."""

    def __init__(self, spec: MimoPipelineSpec, status: MimoPipelineStatus, observed: Observed, now: datetime) -> None:
        self.spec, self.before, self.observed, self.now = spec, status, observed, now
        self.status = status
        self.order = topological(spec.stages)
        known = {s.name: s for s in status.stages}
        self.stages = {s.name: known.get(s.name, StageStatus(name=s.name)) for s in self.order}
        self.conclude: list[Conclude] = []
        self.create: list[Create] = []
        self.delete: list[Delete] = []
        self.index: list[IndexEntry] = []
        self.events: list[Event] = []
        self._requeue_s: list[float] = []

    def set(self, name: str, /, **changes: Any) -> None:
        """Change a stage's status; a new state is also an event."""
        old = self.stages[name]
        if "message" in changes:
            changes["message"] = changes["message"][:MAX_MESSAGE]
        if "reason" in changes:
            changes["reason"] = changes["reason"][:MAX_REASON]
        new = old.model_copy(update={**changes, **_time_that_ran(old, changes, self.now)})
        self.stages[name] = new
        if new.state != old.state:
            self.events.append(_transition(new))

    def change(self, **changes: Any) -> None:
        self.status = self.status.model_copy(update=changes)

    def requeue_in(self, delay_s: float) -> None:
        self._requeue_s.append(max(0.0, delay_s))

    def latest(self, name: str) -> StageObservation | None:
        attempts = self.observed.of(name)
        return attempts[-1] if attempts else None

    def attempt(self, name: str, attempt: int) -> StageObservation | None:
        return next((a for a in self.observed.of(name) if a.attempt == attempt), None)

    def stop(self, seen: StageObservation, grace_s: float) -> None:
        """Ask an attempt to end; after `grace_s` of asking, or its own longer grace period, kill it."""
        grace_s = max(grace_s, seen.stop_grace_s)
        if seen.terminating_s is None:
            self.delete.append(Delete(stage=seen.stage, attempt=seen.attempt))
        elif seen.terminating_s >= grace_s:
            self.delete.append(Delete(stage=seen.stage, attempt=seen.attempt, force=True))
        else:
            self.requeue_in(grace_s - seen.terminating_s)

    def has_failed(self) -> bool:
        return any(s.state == StageState.FAILED for s in self.stages.values())

    def plan(self) -> Plan:
        ordered = tuple(self.stages[s.name] for s in self.spec.stages)
        status = self.status.model_copy(update={"stages": ordered})
        return Plan(
            conclude=tuple(self.conclude),
            create=tuple(self.create),
            index=tuple(self.index),
            status=None if status == self.before else status,
            delete=tuple(self.delete),
            events=tuple(self.events),
            requeue_after_s=min(self._requeue_s) if self._requeue_s else None,
        )

    def set_phase(self, phase: Phase) -> None:
        if phase != self.status.phase:
            kind = EventType.WARNING if phase in (Phase.FAILED, Phase.CANCELLED) else EventType.NORMAL
            hint = "; nothing starts until it is resumed" if phase == Phase.SUSPENDED else ""
            self.events.append(Event(type=kind, reason=f"Pipeline{phase}", message=f"pipeline is {phase}{hint}"))
        self.change(phase=phase)


def _time_that_ran(old: StageStatus, changes: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Whatever ends an attempt, and whatever a stage begins anew, the time that it ran is kept."""
    if changes.get("state", old.state) == StageState.RUNNING:
        return {"running_seconds": old.running_seconds}
    ran_s = 0.0 if old.running_since is None else max(0.0, (now - old.running_since).total_seconds())
    return {"running_seconds": old.running_seconds + ran_s, "running_since": None}


def _transition(stage: StageStatus) -> Event:
    bad = stage.state in (StageState.FAILED, StageState.RETRYING)
    text = f"{stage.name} is {stage.state}" + (f" (attempt {stage.attempt})" if stage.attempt else "")
    if stage.message:
        text += f": {stage.message}"
    return Event(
        type=EventType.WARNING if bad else EventType.NORMAL,
        reason=f"Stage{stage.state}" if not stage.reason else stage.reason,
        message=text,
        stage=stage.name,
    )
