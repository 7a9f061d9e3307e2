"""A cluster's side of MimoPipelines in memory: JSON patches with their tests, pods and their logs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

from operators.mimo_pipeline.api import MimoPipelineSpec, MimoPipelineStatus
from operators.mimo_pipeline.kubernetes.api_client import ChangedMeanwhileError, explain

UID = "0123abcd-0000-4000-8000-000000000000"


def cluster_object(spec: MimoPipelineSpec, status: MimoPipelineStatus, *, name: str = "demo") -> dict[str, Any]:
    """As the API server gives it, with metadata that our types do not know."""
    metadata = {
        "name": name,
        "namespace": "train",
        "uid": UID,
        "generation": 1,
        "resourceVersion": "100",
        "creationTimestamp": "2026-01-01T12:00:00Z",
        "managedFields": [{"manager": "mimo-cli"}],
    }
    return {
        "apiVersion": "mimo.dev/v1alpha1",
        "kind": "MimoPipeline",
        "metadata": metadata,
        "spec": spec.to_values(),
        "status": status.to_values(),
    }


def pod(name: str, **labels: str) -> dict[str, Any]:
    """Its container runs."""
    status = {"phase": "Running", "containerStatuses": [{"state": {"running": {}}}]}
    return {"metadata": {"name": name, "labels": labels}, "status": status}


def starting(found: Mapping[str, Any], reason: str) -> dict[str, Any]:
    """The same pod, whose container waits."""
    status = {"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": reason}}}]}
    return {**found, "status": status}


class FakePipelineClient:
    """`before_patch` runs once, just before the first patch: somebody else's write."""

    def __init__(self, *objects: dict[str, Any], namespace: str = "train") -> None:
        self.namespace = namespace
        self.objects = {o["metadata"]["name"]: o for o in objects}
        self.logs: dict[str, str] = {}
        # By pod: lines that are not in its log any more.
        self.num_rotated: dict[str, int] = {}
        self.asked_since: list[str] = []
        self.listed_pods: list[dict[str, Any]] = []
        # What the next looks find, one after the other; the last one stays.
        self.later_pods: list[list[dict[str, Any]]] = []
        self.selectors: list[str] = []
        self.before_patch: Callable[[], None] | None = None
        self.num_patches = 0
        # By name.
        self.secrets: dict[str, dict[str, str]] = {}
        self.operator_settings = ""
        self.forwarded: list[tuple[str, str, int]] = []

    def get(self, name: str) -> dict[str, Any]:
        if name not in self.objects:
            details = {"reason": "NotFound", "details": {"name": name, "kind": "mimopipelines"}}
            raise explain(404, json.dumps(details), self.namespace)
        return deepcopy(self.objects[name])

    def create(self, body: dict[str, Any]) -> dict[str, Any]:
        self.objects[body["metadata"]["name"]] = deepcopy(body)
        return body

    def patch(self, name: str, operations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        if self.before_patch is not None:
            call, self.before_patch = self.before_patch, None
            call()
        self.num_patches += 1
        changed = deepcopy(self.objects[name])
        for operation in operations:
            *parents, last = operation["path"].strip("/").split("/")
            node = changed
            for part in parents:
                node = node[part]
            if operation["op"] == "test":
                if node.get(last) != operation["value"]:
                    raise ChangedMeanwhileError("the test does not hold")
            elif operation["op"] == "add":
                node[last] = operation["value"]
            else:
                del node[last]
        self.objects[name] = changed
        self.touch(name)
        return changed

    def touch(self, name: str) -> None:
        metadata = self.objects[name]["metadata"]
        metadata["resourceVersion"] = str(int(metadata["resourceVersion"]) + 1)

    def pods(self, selector: str) -> list[dict[str, Any]]:
        self.selectors.append(selector)
        if self.later_pods:
            self.listed_pods = self.later_pods.pop(0)
        return self.listed_pods

    def pod_log(self, pod: str) -> str:
        return self.logs[pod]

    def stamped_pod_log(self, pod: str, since: str) -> str:
        """Each line is written at its number of seconds and a half, such as 2026-01-01T12:00:03.5Z."""
        self.asked_since.append(since)
        lines = [f"2026-01-01T12:00:{i:02}.5Z {line}" for i, line in enumerate(self.logs[pod].splitlines(True))]
        rotated = lines[self.num_rotated.get(pod, 0) :]
        return "".join(line for line in rotated if not since or line >= since.removesuffix("Z"))

    def follow_pod_log(self, pod: str) -> Iterator[str]:
        yield from self.logs[pod].splitlines(keepends=True)

    def list_all(self) -> list[dict[str, Any]]:
        return [deepcopy(found) for found in self.objects.values()]

    def config_maps(self, selector: str) -> list[dict[str, Any]]:
        self.selectors.append(selector)
        return [{"data": {"operator.yaml": self.operator_settings}}] if self.operator_settings else []

    def secret(self, name: str) -> dict[str, str]:
        if name not in self.secrets:
            message = f'secrets "{name}" is forbidden: User "u" cannot get resource "secrets"'
            raise explain(403, json.dumps({"message": message}), self.namespace)
        return self.secrets[name]

    @contextmanager
    def forward(self, service: str, namespace: str, port: int) -> Iterator[int]:
        self.forwarded.append((service, namespace, port))
        yield 40_000
