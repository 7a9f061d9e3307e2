"""How one attempt ended, and what that means: exit codes and evidence in, outcome out.

0 without a manifest is a failure; 2 is permanent; 75 is free if a newer checkpoint, an eviction or our own stop
explains it, else at most three times in a row; everything else counts against retry.maxAttempts. OOM is named as such.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass, replace
from enum import StrEnum

from mimo_vl.errors import EXIT_DONE, EXIT_PERMANENT, EXIT_RESUME
from mimo_vl.schema.verdict import KILLED, AttemptEnd
from operators.mimo_pipeline.api import RetryPolicy, StageStatus
from operators.mimo_pipeline.plan import StageObservation

# Exits with 75 in a row that nothing explains and no newer checkpoint justifies.
MAX_FREE_RESUMES = 3
_KILLED = 128 + signal.SIGKILL
# Reason in a stage's status while an eviction is under way: the pods that prove it may be gone when it has ended.
EVICTING = "Evicting"
EVICTED, NODE_LOST = "Evicted", "NodeLost"
_INTERRUPTED, _PROCESS_LOST = "Interrupted", "ProcessLost"
_ENDED_FROM_OUTSIDE = frozenset({KILLED, _PROCESS_LOST, EVICTED, NODE_LOST})


class Verdict(StrEnum):
    PERMANENT = "permanent"
    COUNTED = "counted"
    FREE = "free"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Outcome:
    verdict: Verdict
    reason: str
    message: str
    free_resumes: int = 0

    @property
    def end(self) -> AttemptEnd:
        if self.reason in _ENDED_FROM_OUTSIDE:
            return AttemptEnd.KILLED
        was_asked = self.verdict == Verdict.STOPPED or self.reason == _INTERRUPTED
        return AttemptEnd.INTERRUPTED if was_asked else AttemptEnd.FAILED


def judge(stage: StageStatus, seen: StageObservation | None) -> Outcome:
    """`seen` is an attempt with no process left and no output, or None if every trace of it is gone."""
    outcome = _by_evidence(stage, seen)
    if seen is None or seen.verdict is None:
        return outcome
    # It was judged before by a controller that died before it wrote the status: the other windows show those words.
    return replace(outcome, reason=seen.verdict.reason, message=seen.verdict.message)


def _by_evidence(stage: StageStatus, seen: StageObservation | None) -> Outcome:
    was_stopped = stage.stopped_attempt == stage.attempt and stage.attempt > 0
    code = seen.exit_code if seen else None
    text = seen.message if seen else ""
    own_reason = seen.reason if seen else ""
    if code == EXIT_PERMANENT:
        return Outcome(Verdict.PERMANENT, own_reason or "PermanentError", text or "the process ended with exit code 2")
    if was_stopped:
        return Outcome(Verdict.STOPPED, "Stopped", text or "stopped on request", stage.free_resumes)
    if stage.reason == EVICTING or (seen is not None and seen.is_evicted):
        if own_reason == NODE_LOST:
            return Outcome(Verdict.FREE, NODE_LOST, text, stage.free_resumes)
        # What its other processes said then, such as a lost connection, followed from it.
        message = "its pod was evicted" + (f"; its last words: {text}" if text else "")
        return Outcome(Verdict.FREE, EVICTED, message, stage.free_resumes)
    if code == EXIT_RESUME:
        return _interrupted(stage, seen, text)
    return Outcome(Verdict.COUNTED, *_failure(code, seen, text), stage.free_resumes)


def _interrupted(stage: StageStatus, seen: StageObservation | None, text: str) -> Outcome:
    step = seen.checkpoint_step if seen and seen.checkpoint_step is not None else -1
    if step > stage.resume_step:
        return Outcome(Verdict.FREE, _INTERRUPTED, text or f"interrupted after saving step {step}")
    if stage.free_resumes < MAX_FREE_RESUMES:
        return Outcome(Verdict.FREE, _INTERRUPTED, text or "interrupted", stage.free_resumes + 1)
    message = f"interrupted {stage.free_resumes + 1} times in a row without a newer checkpoint"
    return Outcome(Verdict.COUNTED, "InterruptedTooOften", message, stage.free_resumes)


def _failure(code: int | None, seen: StageObservation | None, text: str) -> tuple[str, str]:
    if seen is not None and seen.is_oom:
        return "OutOfMemory", text or "a process was killed because memory ran out; lower the batch or raise the limit"
    if code is None:
        return _PROCESS_LOST, text or "the process ended without an exit record (killed, or the machine restarted)"
    if code == EXIT_DONE:
        return "NoManifest", text or "exit code 0, but no manifest.json was published"
    if code == _KILLED:
        return KILLED, text or "killed by SIGKILL (exit code 137); if nobody did it, memory ran out"
    return (seen.reason if seen and seen.reason else "Failed"), text or f"the process ended with exit code {code}"


def backoff_s(policy: RetryPolicy, failures: int) -> float:
    """5, 10, 20, ... seconds up to the cap, for failures 1, 2, 3, ..."""
    # The exponent is bounded before the power is taken: maxAttempts goes up to 100.
    return float(min(policy.max_backoff_seconds, policy.backoff_seconds * 2.0 ** min(failures - 1, 30)))
