"""Small pipelines in one namespace: create one, look at its stages and pods, wait for what becomes of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.e2e.kube import Cluster, eventually
from tests.e2e.release import explain

LEAF_KINDS = ("jobs", "pytorchjobs", "rayjobs", "pods")
PIPELINE_LABEL = "mimo.dev/pipeline"


@dataclass(frozen=True)
class Pipelines:
    cluster: Cluster
    namespace: str

    def create(self, name: str, **spec: Any) -> None:
        body = {"apiVersion": "mimo.dev/v1alpha1", "kind": "MimoPipeline", "metadata": {"name": name}, "spec": spec}
        arguments = ("create", "--validate=strict", "-n", self.namespace, "-f", "-")
        self.cluster.kubectl(*arguments, stdin=json.dumps(body))

    def get(self, name: str) -> dict[str, Any]:
        found = self.cluster.get("mimopipelines", name, self.namespace)
        assert found is not None, f"no pipeline {name} in {self.namespace}"
        return found

    def run_id(self, name: str) -> str:
        """Where the store has what its stages write."""
        return f"{self.namespace}/{name}/{self.get(name)['metadata']['uid'][:8]}"

    def patch(self, name: str, **spec: Any) -> None:
        text = json.dumps({"spec": spec})
        self.cluster.kubectl("patch", "mp", name, "-n", self.namespace, "--type=merge", "-p", text)

    def stage(self, name: str, stage: str) -> dict[str, Any]:
        """Empty before the operator has looked at the pipeline."""
        stages = self.get(name).get("status", {}).get("stages", [])
        return next((s for s in stages if s["name"] == stage), {})

    def condition(self, name: str, kind: str) -> dict[str, Any]:
        """Empty while there is none."""
        conditions = self.get(name).get("status", {}).get("conditions", [])
        return next((c for c in conditions if c["type"] == kind), {})

    def leaves(self, name: str) -> list[str]:
        """kind/name of every job and pod of the pipeline."""
        items = self.cluster.list(",".join(LEAF_KINDS), self.namespace, f"{PIPELINE_LABEL}={name}")
        return sorted(f"{i['kind']}/{i['metadata']['name']}" for i in items)

    def children(self, name: str) -> list[str]:
        """kind/name of every object that belongs to the pipeline: its jobs and pods, and what they mount."""
        mounted = self.cluster.list("configmap", self.namespace, f"{PIPELINE_LABEL}={name}")
        return sorted([*self.leaves(name), *(f"{i['kind']}/{i['metadata']['name']}" for i in mounted)])

    def pod_uids(self, name: str) -> set[str]:
        pods = self.cluster.list("pods", self.namespace, f"{PIPELINE_LABEL}={name}")
        return {p["metadata"]["uid"] for p in pods}

    def wait(self, what: str, probe: Callable[[], Any], deadline_s: float) -> None:
        eventually(what, probe, deadline_s=deadline_s, explain=lambda: explain(self.cluster, self.namespace))
