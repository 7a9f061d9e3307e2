"""A world of processes, a store and a status file, in which the controller may die between any two writes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from mimo_vl.schema.verdict import AttemptVerdict
from operators.mimo_pipeline.api import (
    MimoPipelineSpec,
    MimoPipelineStatus,
    RetryRequest,
    StageApproval,
    StageState,
)
from operators.mimo_pipeline.keys import keys_to_look_up
from operators.mimo_pipeline.plan import LeafPhase, Observed, Output, Plan, StageObservation
from operators.mimo_pipeline.reconcile import reconcile
from operators.mimo_pipeline.stage_graph import descendants
from tests.fakes.pipelines import NOW, RUNTIME


class ControllerDiedError(Exception):
    pass


@dataclass
class Attempt:
    stage: str
    number: int
    key: str
    alive: bool = True
    exit_code: int | None = None
    asked_to_stop_at: datetime | None = None
    checkpoint_step: int | None = None
    step: int = 0
    output: Output | None = None
    verdict: AttemptVerdict | None = None
    is_outdated: bool = False
    """A retry request asked for another attempt instead of this one."""


@dataclass
class FakeWorld:
    """`die_after` controller writes kill the controller; None = it lives."""

    spec: MimoPipelineSpec
    status: MimoPipelineStatus = field(default_factory=MimoPipelineStatus)
    attempts: list[Attempt] = field(default_factory=list)
    index: dict[str, Output] = field(default_factory=dict)
    now: datetime = NOW
    violations: list[str] = field(default_factory=list)
    die_after: int | None = None
    num_rounds: int = 0
    approvals_when_skipped: dict[str, tuple[StageApproval, ...]] = field(default_factory=dict)
    """Of each stage that is Skipped: what the spec had approved when it became so."""

    # --- the controller -------------------------------------------------------------------------------------------

    def round(self) -> Plan | None:
        """Observe, reconcile, apply. None if the controller died on the way."""
        self.num_rounds += 1
        plan = reconcile(self.spec, self.status, self.observe(), self.now)
        self._judge(plan)
        try:
            self._apply(plan)
        except ControllerDiedError:
            self.die_after = None
            return None
        return plan

    def observe(self) -> Observed:
        keys = keys_to_look_up(self.spec, self.status)
        return Observed(
            attempts=tuple(self._seen(a) for a in self.attempts),
            outputs_by_key={key: self.index.get(key) for key in keys},
            runtime=RUNTIME,
            pipeline="demo",
        )

    def _judge(self, plan: Plan) -> None:
        """What no plan may do, whatever becomes of it; and what a retry request that it carries out allows."""
        if plan.create and self.spec.cancel:
            self.violations.append(f"{plan.create[0].stage} starts in a cancelled pipeline")
        if plan.create and self.spec.suspend:
            self.violations.append(f"{plan.create[0].stage} starts in a suspended pipeline")
        request = self.spec.retry
        handled = plan.status.handled_retry_nonce if plan.status else self.status.handled_retry_nonce
        if request is not None and handled == request.nonce != self.status.handled_retry_nonce:
            for attempt in self.attempts:
                if attempt.stage in descendants(self.spec.stages, request.from_stage):
                    attempt.is_outdated = True

    def _apply(self, plan: Plan) -> None:
        for conclusion in plan.conclude:
            self._write()
            for attempt in self._of(conclusion.stage, conclusion.attempt):
                attempt.verdict = attempt.verdict or conclusion.verdict
        for create in plan.create:
            self._write()
            self._start(create.stage, create.attempt, create.key, create.resume_attempt)
        for entry in plan.index:
            self._write()
            self.index.setdefault(entry.key, Output(uri=entry.uri, digest=entry.digest, key=entry.key))
        if plan.status is not None:
            self._write()
            self._note_skipped(plan.status)
            self.status = plan.status
        for order in plan.delete:
            self._write()
            for attempt in self._of(order.stage, order.attempt):
                attempt.asked_to_stop_at = attempt.asked_to_stop_at or self.now
                if order.force and attempt.alive:
                    attempt.alive, attempt.exit_code = False, 137

    def _note_skipped(self, new: MimoPipelineStatus) -> None:
        skipped = {stage.name for stage in new.stages if stage.state == StageState.SKIPPED}
        known = self.approvals_when_skipped
        self.approvals_when_skipped = {name: known.get(name, self.spec.approvals) for name in skipped}

    def _write(self) -> None:
        if self.die_after is None:
            return
        if self.die_after == 0:
            raise ControllerDiedError
        self.die_after -= 1

    def _start(self, stage: str, number: int, key: str, resume: int | None) -> None:
        if self._of(stage, number):
            return
        if any(a.verdict is None for a in self.attempts if a.stage == stage and a.output is None):
            self.violations.append(f"{stage} runs again before its former attempts have their verdicts")
        if any(a.alive for a in self.attempts if a.stage == stage):
            self.violations.append(f"{stage} runs twice at once")
        if any(a.output is not None and not a.is_outdated for a in self.attempts if a.stage == stage):
            self.violations.append(f"{stage} runs again although it has its output")
        if sum(a.alive for a in self.attempts) >= self.spec.max_parallel_stages:
            self.violations.append("more stages at once than allowed")
        start = 0
        if resume is not None:
            start = self._of(stage, resume)[0].checkpoint_step or 0
        self.attempts.append(Attempt(stage=stage, number=number, key=key, step=start))

    # --- the user -------------------------------------------------------------------------------------------------

    def edit(self, **changes: object) -> None:
        self.spec = self.spec.model_copy(update=changes)

    def retry(self, stage: str, nonce: str) -> None:
        self.edit(retry=RetryRequest(from_stage=stage, nonce=nonce))

    def approve(self, stage: str) -> None:
        """The output of the key that the status shows now; nothing where it shows none."""
        key = next((s.key for s in self.status.stages if s.name == stage), "")
        wanted = StageApproval(stage=stage, key=key)
        if key and wanted not in self.spec.approvals:
            self.edit(approvals=(*self.spec.approvals, wanted))

    # --- the processes --------------------------------------------------------------------------------------------

    def running(self) -> list[Attempt]:
        return [a for a in self.attempts if a.alive]

    def save(self, attempt: Attempt) -> None:
        attempt.step += 1
        attempt.checkpoint_step = attempt.step

    def publish(self, attempt: Attempt, **metrics: float) -> None:
        """The first manifest of an attempt stays."""
        digest = f"sha256:{attempt.key[-6:]}"
        made = Output(uri=f"file:///{attempt.stage}", digest=digest, key=attempt.key, metrics=metrics)
        attempt.output = attempt.output or made

    def end(self, attempt: Attempt, exit_code: int | None) -> None:
        attempt.alive, attempt.exit_code = False, exit_code

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def _of(self, stage: str, number: int) -> list[Attempt]:
        return [a for a in self.attempts if (a.stage, a.number) == (stage, number)]

    def _seen(self, a: Attempt) -> StageObservation:
        asked = a.asked_to_stop_at
        return StageObservation(
            stage=a.stage,
            attempt=a.number,
            phase=LeafPhase.RUNNING if a.alive else LeafPhase.GONE,
            alive=a.alive,
            key=a.key,
            terminating_s=None if asked is None else (self.now - asked).total_seconds(),
            exit_code=a.exit_code,
            output=a.output,
            checkpoint_step=a.checkpoint_step,
            verdict=a.verdict,
        )
