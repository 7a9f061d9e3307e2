"""One attempt on a cluster: its job object, its pods and what the store holds -> StageObservation. Pure.

What is trusted for what:
  alive      the pods with our labels, never the job's status: it is final while pods still run, or suspended while
             they terminate. A job that is not final yet counts as alive too, for it may still make pods.
  output     the manifest in the store, whatever pods exit with.
  exit code  the pods' termination messages and exit.json: any 2 is 2, else any 75 is 75. A pod that was told to end
             because another one had failed explains nothing.
  eviction   a disruption condition, or a pod that was deleted before anything of its attempt had failed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mimo_vl.errors import EXIT_DONE, EXIT_PERMANENT, EXIT_RESUME
from mimo_vl.schema.manifest import ExitRecord, Progress
from mimo_vl.schema.verdict import KILLED, AttemptVerdict
from operators.mimo_pipeline.api import StageProgress
from operators.mimo_pipeline.cluster_leaf import LeafFacts
from operators.mimo_pipeline.cluster_pods import ContainerEnd, PodFacts
from operators.mimo_pipeline.draft import MAX_MESSAGE
from operators.mimo_pipeline.outcomes import NODE_LOST
from operators.mimo_pipeline.plan import LeafPhase, Output, StageObservation

# Time that the pods of a finished job get to go by themselves (its controller removes them).
ORPHAN_AFTER_S = 60.0
# The kubelet kills at the end of the grace period; this long after it, somebody has to help.
_KUBELET_MARGIN_S = 30.0


@dataclass(frozen=True, kw_only=True)
class StoreEvidence:
    """What an attempt left in the store."""

    claim_key: str | None = None
    """Stage key of its claim; None = nothing ever claimed it."""
    output: Output | None = None
    output_seen_at: datetime | None = None
    exit_record: ExitRecord | None = None
    progress: Progress | None = None
    checkpoint_step: int | None = None
    is_revoked: bool = False
    verdict: AttemptVerdict | None = None


@dataclass(frozen=True, kw_only=True)
class AttemptFacts:
    """Everything that is known about one attempt. `vanished`: pods seen earlier that no longer exist."""

    stage: str
    attempt: int
    key: str = ""
    """As the status has it; the job's annotation and the claim go before it."""
    leaf: LeafFacts | None = None
    pods: tuple[PodFacts, ...] = ()
    vanished: tuple[PodFacts, ...] = ()
    store: StoreEvidence = StoreEvidence()
    refusal: str = ""
    """What refuses pods that its job should have."""


def lost_pods(facts: AttemptFacts, now: datetime, node_lost_timeout_s: float) -> list[PodFacts]:
    """Pods on nodes that are gone; they count as gone once the attempt is revoked."""
    return [p for p in facts.pods if p.is_live and p.is_lost(now, node_lost_timeout_s)]


def is_alive(facts: AttemptFacts, now: datetime, node_lost_timeout_s: float) -> bool:
    lost = lost_pods(facts, now, node_lost_timeout_s) if facts.store.is_revoked else []
    if any(p.is_live for p in facts.pods if p not in lost):
        return True
    if facts.leaf is None:
        return False
    if facts.leaf.deleting_since is not None:
        # It may hold a cluster that makes pods until it is gone; a lost pod would keep it for ever.
        return not lost
    return not facts.leaf.is_final


def observe_attempt(facts: AttemptFacts, now: datetime, node_lost_timeout_s: float) -> StageObservation:
    alive = is_alive(facts, now, node_lost_timeout_s)
    everyone = (*facts.pods, *facts.vanished)
    code = None if alive else _exit_code(facts, everyone)
    reason, message = _obstacle(facts) if alive else _last_words(facts, everyone, code)
    seen_at = facts.store.output_seen_at
    return StageObservation(
        stage=facts.stage,
        attempt=facts.attempt,
        phase=_phase(facts, alive),
        alive=alive,
        key=(facts.leaf.key if facts.leaf else "") or facts.store.claim_key or facts.key,
        headless=alive and _is_headless(facts, now),
        terminating_s=_terminating_s(facts, now),
        stop_grace_s=max((p.grace_s for p in facts.pods if p.is_live), default=0.0) + _KUBELET_MARGIN_S,
        exit_code=code,
        is_oom=any(e.is_oom for p in everyone for e in p.ends),
        is_evicted=_is_evicted(facts, everyone),
        reason=reason,
        message=message[:MAX_MESSAGE],
        output=facts.store.output,
        finishing_s=(now - seen_at).total_seconds() if seen_at else None,
        checkpoint_step=facts.store.checkpoint_step,
        verdict=facts.store.verdict,
        progress=_progress(facts.store.progress),
        image_id=next((p.image_id for p in sorted(everyone, key=lambda p: p.name) if p.image_id), ""),
        object_exists=facts.leaf is not None,
    )


def _phase(facts: AttemptFacts, alive: bool) -> LeafPhase:
    leaf = facts.leaf
    if alive and facts.store.is_revoked:
        return LeafPhase.INTERRUPTED
    if not alive:
        if facts.store.output is not None:
            return LeafPhase.SUCCEEDED
        return LeafPhase.GONE if leaf is None else LeafPhase.FAILED
    if leaf is None:
        return LeafPhase.RUNNING
    if leaf.is_queued:
        # Admitted once and suspended again = evicted by its queue. It must not run again inside the same attempt.
        return LeafPhase.QUEUED if facts.store.claim_key is None and not facts.pods else LeafPhase.INTERRUPTED
    if leaf.phase in (LeafPhase.STARTING, LeafPhase.RUNNING):
        return LeafPhase.RUNNING if any(p.phase == "Running" for p in facts.pods) else LeafPhase.STARTING
    return leaf.phase


def _is_headless(facts: AttemptFacts, now: datetime) -> bool:
    """Pods run on that no job controller will remove: the job is gone, or has been over for long."""
    if not any(p.is_live and p.deletion_requested_at is None for p in facts.pods):
        return False
    leaf = facts.leaf
    if leaf is None:
        return True
    is_over = leaf.is_final and leaf.ended_at is not None and leaf.deleting_since is None
    return is_over and leaf.ended_at is not None and now - leaf.ended_at > timedelta(seconds=ORPHAN_AFTER_S)


def _terminating_s(facts: AttemptFacts, now: datetime) -> float | None:
    if facts.leaf is not None:
        asked_at = facts.leaf.deleting_since
        return None if asked_at is None else (now - asked_at).total_seconds()
    asked = [p.deletion_requested_at for p in facts.pods if p.is_live]
    times = [t for t in asked if t is not None]
    # One pod that nobody asked is enough to ask again.
    return (now - min(times)).total_seconds() if times and len(times) == len(asked) else None


def _is_evicted(facts: AttemptFacts, pods: Sequence[PodFacts]) -> bool:
    # Only attempts on lost nodes are revoked.
    if facts.store.is_revoked or any(p.is_disrupted for p in pods):
        return True
    if facts.leaf is not None and facts.leaf.is_queued and (facts.store.claim_key is not None or facts.pods):
        return True
    deleted = [p for p in pods if p.deletion_requested_at is not None]
    if not deleted:
        return False
    first = min(deleted, key=lambda p: (p.deletion_requested_at or datetime.max, p.deletion_seen or 0))
    return not _was_over_before(facts, pods, first)


def _was_over_before(facts: AttemptFacts, pods: Iterable[PodFacts], deleted: PodFacts) -> bool:
    """Its job's controller removed the pod because the attempt had ended, well or badly."""
    asked_at, leaf = deleted.deletion_requested_at, facts.leaf
    assert asked_at is not None
    if deleted.phase in ("Succeeded", "Failed") and deleted.ends and _ended_by(deleted, asked_at):
        return True
    if leaf is not None and leaf.is_ray and leaf.is_final and (leaf.ended_at is None or leaf.ended_at <= asked_at):
        return True
    if leaf is not None and leaf.phase == LeafPhase.SUCCEEDED:
        return True
    return any(_failed_before(p, deleted) for p in pods if p.uid != deleted.uid)


def _ended_by(pod: PodFacts, moment: datetime) -> bool:
    return all(e.finished_at is not None and e.finished_at <= moment for e in pod.ends)


def _failed_before(pod: PodFacts, deleted: PodFacts) -> bool:
    asked_at = deleted.deletion_requested_at
    assert asked_at is not None
    times = [e.finished_at for e in pod.failures if e.finished_at is not None]
    if not times or min(times) > asked_at:
        return False
    if min(times) < asked_at or deleted.deletion_seen is None or pod.failure_seen is None:
        return True
    # Times have a resolution of one second: the order in which they were told decides.
    return pod.failure_seen <= deleted.deletion_seen


def _exit_code(facts: AttemptFacts, pods: Sequence[PodFacts]) -> int | None:
    record = facts.store.exit_record
    everything = [e.code for p in pods for e in _telling(p)] + ([record.exit_code] if record else [])
    if EXIT_PERMANENT in everything:
        return EXIT_PERMANENT
    first_failed = [e.code for p in pods if p.deletion_requested_at is None for e in p.failures]
    for codes in (first_failed, everything):
        if EXIT_RESUME in codes:
            return EXIT_RESUME
        bad = [c for c in codes if c != EXIT_DONE]
        if bad:
            return bad[0]
    if facts.leaf is not None and facts.leaf.exit_code is not None:
        return facts.leaf.exit_code
    has_succeeded = facts.leaf is not None and facts.leaf.phase == LeafPhase.SUCCEEDED
    return EXIT_DONE if everything or has_succeeded else None


def _telling(pod: PodFacts) -> tuple[ContainerEnd, ...]:
    return tuple(e for e in pod.ends if e.record is not None or not pod.is_ray)


def _last_words(facts: AttemptFacts, pods: Sequence[PodFacts], code: int | None) -> tuple[str, str]:
    """Reason and message: the first record of a pod with the attempt's code, then exit.json, then the job's own."""
    ends = sorted((e for p in pods for e in p.ends), key=_explains_first)
    records = [e.record for e in ends if e.record is not None]
    if facts.store.exit_record is not None:
        records.append(facts.store.exit_record)
    for record in records:
        if record.exit_code == code and record.message:
            return record.reason, record.message
    faults = [p.fault for p in pods if p.fault]
    if faults:
        return "DiskLimitExceeded", f"{faults[0]}; raise pod.scratchSize"
    if facts.store.is_revoked:
        return NODE_LOST, "its node stopped answering; the attempt was revoked and is not waited for"
    if code in (None, facts.leaf.exit_code if facts.leaf else None) and facts.leaf is not None:
        return facts.leaf.reason, facts.leaf.message
    return "", ""


def _explains_first(end: ContainerEnd) -> tuple[float, bool]:
    """What fails later fails for the lost connection. Within one second, of which times are, a signal came first."""
    ended_s = end.finished_at.timestamp() if end.finished_at is not None else math.inf
    return ended_s, end.record is None or end.record.reason != KILLED


def _obstacle(facts: AttemptFacts) -> tuple[str, str]:
    """Why a living attempt does not get on; empty if it does."""
    leaf = facts.leaf
    if leaf is not None and leaf.is_queued:
        return "Queued", "waits for admission by its queue"
    if leaf is not None and facts.refusal:
        return "FailedCreate", f"pods of {leaf.kind} {leaf.name} are refused: {facts.refusal}"
    found = [(p.name, p.trouble) for p in facts.pods if p.trouble is not None]
    if found:
        name, trouble = min(found)
        assert trouble is not None
        return trouble[0], f"pod {name}: {trouble[1]}"
    if leaf is not None and leaf.phase == LeafPhase.SUSPENDED:
        return "JobSuspended", f"{leaf.kind} {leaf.name} was suspended by hand; clear its suspend field or delete it"
    return "", ""


def _progress(progress: Progress | None) -> StageProgress | None:
    return None if progress is None else StageProgress(**progress.model_dump(exclude={"version"}))
