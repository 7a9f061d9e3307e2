"""What one pipeline's world looks like now: `observe_pipeline(...)`, pods first, then jobs, then the store.

This order matters. A pod's deletion is seen after the end of its job that caused it, and files of an attempt whose
processes were gone are final.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from operators.mimo_pipeline.api import ACTIVE_STATES, PipelineRuntime, StageSpec, StageStatus
from operators.mimo_pipeline.cluster_leaf import LeafFacts, parse_leaf
from operators.mimo_pipeline.cluster_observation import (
    AttemptFacts,
    StoreEvidence,
    is_alive,
    lost_pods,
    observe_attempt,
)
from operators.mimo_pipeline.cluster_pods import PodFacts, parse_pod
from operators.mimo_pipeline.key_index import KeyIndex
from operators.mimo_pipeline.keys import WAITING_STATES, keys_to_enter, keys_to_start
from operators.mimo_pipeline.kubernetes.cluster import Api
from operators.mimo_pipeline.kubernetes.pipelines import SECRET_MISSING, ClusterPipeline, Note
from operators.mimo_pipeline.kubernetes.refusals import refusal_of_pods
from operators.mimo_pipeline.kubernetes.resources import PODS, Resource, leaf_resource
from operators.mimo_pipeline.kubernetes.store_evidence import EvidenceReader
from operators.mimo_pipeline.naming import LABEL_PIPELINE, run_label
from operators.mimo_pipeline.plan import Observed, StageObservation
from operators.mimo_pipeline.pod_history import PodHistory


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Observed, and the objects behind it, for whoever applies the Plan."""

    observed: Observed
    attempts: Mapping[tuple[str, int], AttemptFacts]
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, kw_only=True)
class World:
    """Where to look. `served`: leaf resources that this cluster has."""

    api: Api
    evidence: EvidenceReader
    history: PodHistory
    index: KeyIndex
    served: Set[Resource]
    node_lost_timeout_s: float


def observe_pipeline(
    world: World,
    pipeline: ClusterPipeline,
    *,
    runtime: PipelineRuntime | None,
    problems: tuple[str, ...],
    now: datetime,
) -> Seen:
    pods, vanished = _pods(world, pipeline)
    leaves = _leaves(world, pipeline)
    attempts = {}
    seen: list[StageObservation] = []
    for stage in pipeline.spec.stages:
        current = next((s for s in pipeline.status.stages if s.name == stage.name), StageStatus(name=stage.name))
        live = [p for p in pods if p.stage == stage.name and p.is_live]
        for number in _numbers(current, leaves, live):
            name = (stage.name, number)
            facts = AttemptFacts(
                stage=stage.name,
                attempt=number,
                key=current.key if number == current.attempt else "",
                leaf=leaves.get(name),
                pods=tuple(p for p in pods if (p.stage, p.attempt) == name),
                vanished=tuple(p for p in vanished if (p.stage, p.attempt) == name),
            )
            attempts[name] = _explained(world, pipeline.namespace, _with_store(world, facts, current, now), now)
            seen.append(observe_attempt(attempts[name], now, world.node_lost_timeout_s))
    observed = Observed(
        attempts=tuple(seen),
        outputs_by_key=world.index.look_up(
            keys_to_start(pipeline.spec, pipeline.status), keys_to_enter(pipeline.status)
        ),
        runtime=runtime,
        problems=problems,
        generation=pipeline.generation,
        pipeline=pipeline.name,
        tracking_url=_tracking_url(world, pipeline),
    )
    return Seen(observed=observed, attempts=attempts, notes=tuple(_secret_notes(pods)))


def _tracking_url(world: World, pipeline: ClusterPipeline) -> str:
    """Read until it is known: it does not change."""
    has_run = any(stage.attempt for stage in pipeline.status.stages)
    return pipeline.status.mlflow or (world.evidence.tracking_url() if has_run else "")


def selector(pipeline: str, **labels: str) -> str:
    return ",".join([f"{LABEL_PIPELINE}={pipeline}", *(f"mimo.dev/{k}={v}" for k, v in labels.items())])


def used_resources(stages: Iterable[StageSpec]) -> set[Resource]:
    return {leaf_resource(s) for s in stages}


def _pods(world: World, pipeline: ClusterPipeline) -> tuple[list[PodFacts], list[PodFacts]]:
    """Pods that exist, with all that was ever seen of them, and pods that vanished.

    Only those of this very pipeline: what became of one of the same name that was deleted says nothing about this one.
    Its pods that still live are waited for where an attempt is created (apply.py).
    """
    listed: list[Mapping[str, Any]] = [*world.api.list(PODS, pipeline.namespace, selector(pipeline.name))]
    run = run_label(pipeline.uid)
    facts = [f for p in listed if (f := parse_pod(p)) is not None and f.run == run]
    known = {f.uid: world.history.record(pipeline.namespace, f) for f in facts}
    # The phase of a pod that exists is what the list says; the history only adds what it forgot.
    present = [replace(known[f.uid], phase=f.phase) for f in facts]
    remembered = world.history.of(pipeline.namespace, pipeline.name)
    return present, [p for p in remembered if p.run == run and p.uid not in known]


def _leaves(world: World, pipeline: ClusterPipeline) -> dict[tuple[str, int], LeafFacts]:
    """Jobs that this very pipeline owns, by stage and attempt; not those of a deleted one of the same name."""
    found = {}
    for resource in sorted(used_resources(pipeline.spec.stages) & world.served, key=lambda r: r.kind):
        for item in world.api.list(resource, pipeline.namespace, selector(pipeline.name)):
            leaf = parse_leaf(item)
            if leaf is not None and leaf.owner_uid == pipeline.uid:
                found[leaf.stage, leaf.attempt] = leaf
    return found


def _numbers(stage: StageStatus, leaves: Iterable[tuple[str, int]], live: Iterable[PodFacts]) -> list[int]:
    """Attempts that matter: those with a job or a live pod, and for an unfinished stage all since the last retry."""
    numbers = {number for name, number in leaves if name == stage.name} | {pod.attempt for pod in live}
    if stage.state in ACTIVE_STATES | WAITING_STATES:
        numbers |= set(range(stage.fresh_after_attempt + 1, stage.attempt + 1))
    return sorted(numbers)


def _with_store(world: World, facts: AttemptFacts, stage: StageStatus, now: datetime) -> AttemptFacts:
    """Adds what the store says; revokes an attempt whose only pods are on lost nodes."""
    if stage.state not in ACTIVE_STATES | WAITING_STATES:
        return facts
    timeout_s = world.node_lost_timeout_s
    if lost_pods(facts, now, timeout_s):
        world.evidence.revoke(facts.stage, facts.attempt, "its node stopped answering")
        world.evidence.forget(facts.stage, facts.attempt)
        facts = replace(facts, store=StoreEvidence(is_revoked=True))
    if is_alive(facts, now, timeout_s):
        asks_claim = facts.leaf is None or facts.leaf.is_queued
        evidence = world.evidence.of_living(facts.stage, facts.attempt, with_claim=asks_claim)
        return replace(facts, store=replace(evidence, is_revoked=facts.store.is_revoked))
    return replace(facts, store=world.evidence.of_ended(facts.stage, facts.attempt))


def _explained(world: World, namespace: str, facts: AttemptFacts, now: datetime) -> AttemptFacts:
    """Adds why pods are missing, where that may be: the attempt has not begun its work."""
    leaf = facts.leaf
    has_begun = facts.store.progress is not None or facts.store.output is not None
    if leaf is None or leaf.is_queued or has_begun or not is_alive(facts, now, world.node_lost_timeout_s):
        return facts
    return replace(facts, refusal=refusal_of_pods(world.api, namespace, leaf, facts.pods))


def _secret_notes(pods: Iterable[PodFacts]) -> list[Note]:
    """The operator may not read Secrets: the kubelet says which one it did not find."""
    troubles = sorted((p.name, *p.trouble) for p in pods if p.trouble is not None)
    return [
        Note(type=SECRET_MISSING, reason=SECRET_MISSING, message=f"pod {name}: {message}; create it in this namespace")
        for name, reason, message in troubles
        if reason == "CreateContainerConfigError" and "secret" in message.lower()
    ]
