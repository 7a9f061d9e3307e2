"""The pod template of every kind of leaf job: placement, rights and lifetime round one container."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from operators.mimo_pipeline.api import PodSettings, Toleration
from operators.mimo_pipeline.builders.cluster_facts import ClusterFacts
from operators.mimo_pipeline.builders.metadata import pod_metadata
from operators.mimo_pipeline.builders.pod_settings import PodKind, grace_period_s, num_gpus
from operators.mimo_pipeline.builders.volumes import Mounted, volumes
from operators.mimo_pipeline.naming import labels
from operators.mimo_pipeline.plan import Create

_PREFERENCE_WEIGHT = 100


def pod_template(
    kind: PodKind,
    container: dict[str, Any],
    *,
    settings: PodSettings,
    mounted: Sequence[Mounted],
    create: Create,
    facts: ClusterFacts,
) -> dict[str, Any]:
    """Without restartPolicy, which some owners want elsewhere: see `never_restarted`."""
    spec = {
        "serviceAccountName": service_account(kind, facts),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": security_context(facts),
        "terminationGracePeriodSeconds": grace_period_s(settings),
        "priorityClassName": settings.priority_class_name,
        **placement(settings, create, facts),
        "imagePullSecrets": pull_secrets(facts),
        "containers": [with_rights(container, settings, facts)],
        "volumes": volumes(mounted),
    }
    kept = {name: value for name, value in spec.items() if value not in ("", [], {})}
    return {"metadata": pod_metadata(kind, create, facts), "spec": kept}


def never_restarted(template: dict[str, Any]) -> dict[str, Any]:
    """One attempt runs once; going on is the next attempt."""
    return {**template, "spec": {"restartPolicy": "Never", **template["spec"]}}


def service_account(kind: PodKind, facts: ClusterFacts) -> str:
    accounts = facts.settings.service_accounts
    if kind in (PodKind.JOB, PodKind.PYTORCH):
        return accounts.trainer
    return accounts.ray_head if kind is PodKind.RAY_HEAD else accounts.ray_worker


def security_context(facts: ClusterFacts) -> dict[str, Any]:
    user = facts.settings.run_as_user
    return {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": user,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def with_rights(container: dict[str, Any], settings: PodSettings, facts: ClusterFacts) -> dict[str, Any]:
    """The container with the one right that settings.lock_memory gives to GPU pods, if it does."""
    if not (facts.settings.lock_memory and num_gpus(settings)):
        return container
    rights = {"runAsUser": 0, "runAsNonRoot": False, "capabilities": {"drop": ["ALL"], "add": ["IPC_LOCK"]}}
    return {**container, "securityContext": {**container["securityContext"], **rights}}


def pull_secrets(facts: ClusterFacts) -> list[dict[str, str]]:
    return [{"name": name} for name in facts.settings.images.pull_secrets]


def placement(settings: PodSettings, create: Create, facts: ClusterFacts) -> dict[str, Any]:
    found: dict[str, Any] = {
        "nodeSelector": dict(settings.node_selector),
        "tolerations": [_toleration(t) for t in settings.tolerations],
    }
    if settings.topology_key:
        found["affinity"] = _near_each_other(settings.topology_key, create, facts)
    return {name: value for name, value in found.items() if value}


def _toleration(toleration: Toleration) -> dict[str, str]:
    return {name: value for name, value in toleration.to_values().items() if value}


def _near_each_other(topology_key: str, create: Create, facts: ClusterFacts) -> dict[str, Any]:
    """Preferred, not required: a full rack must not keep a pipeline waiting for ever."""
    term = {
        "topologyKey": topology_key,
        "labelSelector": {"matchLabels": labels(facts.pipeline, create.stage, create.attempt)},
    }
    preferred = [{"weight": _PREFERENCE_WEIGHT, "podAffinityTerm": term}]
    return {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}
