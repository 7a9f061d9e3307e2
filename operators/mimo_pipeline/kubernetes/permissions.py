"""Every verb that the operator uses, as the rules of its Role. No Secrets: they are mounted by name, never read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Rule:
    api_group: str
    resources: tuple[str, ...]
    verbs: tuple[str, ...]
    why: str

    def to_role_rule(self) -> dict[str, Any]:
        return {"apiGroups": [self.api_group], "resources": list(self.resources), "verbs": list(self.verbs)}


_LEAF = ("create", "delete", "get", "list", "watch")

# In each namespace whose pipelines are run.
PIPELINE_RULES = (
    Rule(api_group="mimo.dev", resources=("mimopipelines",), verbs=("get", "list", "watch"), why="what users want"),
    Rule(api_group="mimo.dev", resources=("mimopipelines/status",), verbs=("update",), why="conditional status writes"),
    Rule(
        api_group="mimo.dev",
        resources=("mimopipelines/finalizers",),
        verbs=("update",),
        why="blockOwnerDeletion in owner references",
    ),
    Rule(api_group="batch", resources=("jobs",), verbs=_LEAF, why="attempts of job stages"),
    Rule(api_group="kubeflow.org", resources=("pytorchjobs",), verbs=_LEAF, why="attempts of training stages"),
    Rule(api_group="trainer.kubeflow.org", resources=("trainjobs",), verbs=_LEAF, why="the same, by Trainer v2"),
    Rule(api_group="ray.io", resources=("rayjobs",), verbs=_LEAF, why="attempts of Ray stages"),
    Rule(api_group="", resources=("pods",), verbs=("delete", "list", "watch"), why="liveness, exit codes, kills"),
    Rule(api_group="", resources=("configmaps",), verbs=("create", "patch"), why="composed configuration (applied)"),
    Rule(
        api_group="events.k8s.io",
        resources=("events",),
        verbs=("create", "list"),
        why="one per transition; why a job gets no pods",
    ),
)

# In the operator's own namespace.
OPERATOR_RULES = (
    Rule(
        api_group="coordination.k8s.io",
        resources=("leases",),
        verbs=("get", "update"),
        why="one replica works",
    ),
)
