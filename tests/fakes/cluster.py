"""A Kubernetes API in memory with the job controllers' worst habits, and processes that write to a real store.

The operator may die between any two of its writes.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from mimo_vl.schema.manifest import CheckpointRecord, Claim, ExitRecord, FileEntry, Manifest, content_digest
from mimo_vl.storage.attempts import claim_attempt, write_exit_record
from mimo_vl.storage.layout import CHECKPOINTS_DIR, COMPLETE, MANIFEST, attempt_prefix, join, step_dir
from mimo_vl.storage.store import ArtifactStore
from operators.mimo_pipeline.kubernetes.cluster import ApiError
from operators.mimo_pipeline.kubernetes.lease import LEASE_NAME
from operators.mimo_pipeline.kubernetes.resources import LEAF_BY_KIND, LEASES, LEAVES, PIPELINES, PODS, Resource
from operators.mimo_pipeline.naming import ANNOTATION_STAGE_KEY, run_id
from tests.fakes.pipelines import NOW

# Of the release, in the operator's namespace: nobody has held it yet.
_LEASE = {
    "apiVersion": LEASES.api_version,
    "kind": LEASES.kind,
    "metadata": {"name": LEASE_NAME, "namespace": "mimo", "resourceVersion": "1"},
    "spec": {},
}


class OperatorDiedError(BaseException):
    """Nothing in the operator may catch it."""


def _release() -> dict[tuple[str, str, str], dict[str, Any]]:
    return {(LEASES.kind, "mimo", LEASE_NAME): copy.deepcopy(_LEASE)}


@dataclass
class FakeCluster:
    """Api over dicts. `die_after` writes kill the operator; `failures` are raised by the next matching calls."""

    store: ArtifactStore
    objects: dict[tuple[str, str, str], dict[str, Any]] = field(default_factory=_release)
    now: datetime = NOW
    die_after: int | None = None
    failures: list[tuple[str, str, ApiError]] = field(default_factory=list)
    served: set[Resource] = field(default_factory=lambda: set(LEAVES))
    violations: list[str] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    num_writes: int = 0
    verbs: set[tuple[str, str]] = field(default_factory=set)
    """(verb, resource) of every call, as RBAC counts them."""
    _counter: Any = field(default_factory=lambda: itertools.count(1))

    # --- Api ------------------------------------------------------------------------------------------------------

    def get(self, resource: Resource, namespace: str, name: str) -> dict[str, Any]:
        self._fail("get", resource)
        return copy.deepcopy(self._found(resource, namespace, name))

    def list(self, resource: Resource, namespace: str, selector: str = "", fields: str = "") -> list[dict[str, Any]]:
        self._fail("list", resource)
        wanted, wanted_fields = _selected(selector), _selected(fields)
        found = []
        for (kind, ns, _), item in sorted(self.objects.items()):
            if (kind, ns) != (resource.kind, namespace):
                continue
            labels = item["metadata"].get("labels") or {}
            has_fields = all(_field(item, path) == value for path, value in wanted_fields.items())
            if wanted.items() <= labels.items() and has_fields:
                found.append(copy.deepcopy(item))
        return found

    def create(self, resource: Resource, namespace: str, body: Mapping[str, Any]) -> dict[str, Any]:
        self._fail("create", resource)
        self._write()
        if resource.kind == "Event":
            self.events.append(dict(body))
            return dict(body)
        key = (resource.kind, namespace, body["metadata"]["name"])
        if key in self.objects:
            raise ApiError(409, "AlreadyExists", f"{key} already exists")
        if resource in LEAVES:
            self._check_fencing(body)
        return copy.deepcopy(self._store_object(key, dict(copy.deepcopy(body))))

    def apply(self, resource: Resource, namespace: str, body: Mapping[str, Any]) -> dict[str, Any]:
        self._fail("apply", resource)
        self._write()
        return self._store_object((resource.kind, namespace, body["metadata"]["name"]), dict(copy.deepcopy(body)))

    def replace(
        self, resource: Resource, namespace: str, body: Mapping[str, Any], subresource: str = ""
    ) -> dict[str, Any]:
        self._fail("replace", resource, subresource)
        self._write()
        current = self._found(resource, namespace, body["metadata"]["name"])
        if body["metadata"]["resourceVersion"] != current["metadata"]["resourceVersion"]:
            raise ApiError(409, "Conflict", "the object has been modified")
        changed = {**current, "status": body["status"]} if subresource else dict(copy.deepcopy(body))
        return self._store_object((resource.kind, namespace, body["metadata"]["name"]), changed)

    def delete(
        self, resource: Resource, namespace: str, name: str, *, uid: str = "", grace_s: int | None = None
    ) -> None:
        self._fail("delete", resource)
        self._write()
        item = self.objects.get((resource.kind, namespace, name))
        if item is None or (uid and item["metadata"]["uid"] != uid):
            return
        if resource is PODS:
            self._delete_pod(item, grace_s)
        else:
            item["metadata"].setdefault("deletionTimestamp", _text(self.now))
            for pod in self.pods_of(item["metadata"]["name"]):
                self._delete_pod(pod, None)
            self.settle()

    def is_served(self, resource: Resource) -> bool:
        return resource in self.served

    # --- what users and nodes do ----------------------------------------------------------------------------------

    def put_pipeline(self, name: str, spec: Mapping[str, Any], namespace: str = "team") -> None:
        key = ("MimoPipeline", namespace, name)
        old = self.objects.get(key)
        generation = old["metadata"]["generation"] + 1 if old else 1
        uid = old["metadata"]["uid"] if old else f"{next(self._counter):08x}-uid"
        body = {
            "apiVersion": PIPELINES.api_version,
            "kind": "MimoPipeline",
            "metadata": {"name": name, "namespace": namespace, "generation": generation, "uid": uid},
            "spec": dict(spec),
        }
        self._store_object(key, {**body, **({"status": old["status"]} if old and "status" in old else {})})

    def pipeline(self, name: str, namespace: str = "team") -> dict[str, Any]:
        return self.objects["MimoPipeline", namespace, name]

    def leaf(self, name: str) -> dict[str, Any] | None:
        return next((o for (k, _, n), o in self.objects.items() if k in LEAF_BY_KIND and n == name), None)

    def leaves(self) -> list[dict[str, Any]]:
        return [o for (k, _, _), o in sorted(self.objects.items()) if k in LEAF_BY_KIND]

    def pods_of(self, leaf: str) -> list[dict[str, Any]]:
        return [o for (k, _, _), o in sorted(self.objects.items()) if k == "Pod" and o["metadata"]["leaf"] == leaf]

    def start_pods(self, leaf: str, num_pods: int = 1) -> list[Process]:
        """What a job's controller and the kubelet do: pods that run, of which the first claims the attempt."""
        item = self.leaf(leaf)
        assert item is not None, f"no job {leaf}"
        for rank in range(num_pods):
            name = f"{leaf}-{rank}"
            metadata = {
                "name": name,
                "namespace": item["metadata"]["namespace"],
                "uid": f"pod-{next(self._counter)}",
                "labels": dict(item["metadata"]["labels"]),
                "leaf": leaf,
            }
            pod = {
                "kind": "Pod",
                "metadata": metadata,
                "spec": {"terminationGracePeriodSeconds": 30},
                "status": {"phase": "Running"},
            }
            self.objects["Pod", item["metadata"]["namespace"], name] = pod
        process = Process(self, item)
        process.claim()
        return [process]

    def refuse_pods(self, leaf: str, why: str, reason: str = "FailedCreate") -> None:
        """What a job's controller tells when the API server does not admit its pods."""
        item = self.leaf(leaf)
        assert item is not None, f"no job {leaf}"
        event = {
            "metadata": {"name": f"{leaf}.{next(self._counter)}", "namespace": item["metadata"]["namespace"]},
            "regarding": {"kind": item["kind"], "name": leaf},
            "type": "Warning",
            "reason": reason,
            "note": why,
            "deprecatedLastTimestamp": _text(self.now),
        }
        self.objects["Event", item["metadata"]["namespace"], event["metadata"]["name"]] = event

    def settle(self) -> None:
        """Foreground deletion: a job goes when its last pod is gone."""
        for key, item in list(self.objects.items()):
            is_going = key[0] in LEAF_BY_KIND and "deletionTimestamp" in item["metadata"]
            if is_going and not any(_is_live(p) for p in self.pods_of(key[2])):
                for pod in self.pods_of(key[2]):
                    self.objects.pop(("Pod", key[1], pod["metadata"]["name"]))
                del self.objects[key]

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    # --- inside ---------------------------------------------------------------------------------------------------

    def _delete_pod(self, pod: dict[str, Any], grace_s: int | None) -> None:
        metadata = pod["metadata"]
        if grace_s == 0 or pod["status"]["phase"] in ("Succeeded", "Failed"):
            self.objects.pop(("Pod", metadata["namespace"], metadata["name"]), None)
            return
        grace_s = 30 if grace_s is None else grace_s
        metadata.setdefault("deletionTimestamp", _text(self.now + timedelta(seconds=grace_s)))
        metadata.setdefault("deletionGracePeriodSeconds", grace_s)

    def _check_fencing(self, body: Mapping[str, Any]) -> None:
        labels = body["metadata"]["labels"]
        for (kind, _, _), item in self.objects.items():
            other = item["metadata"].get("labels") or {}
            if kind == "Pod" and _is_live(item) and other.get("mimo.dev/stage") == labels["mimo.dev/stage"]:
                self.violations.append(f"{body['metadata']['name']} is created while {item['metadata']['name']} lives")

    def _store_object(self, key: tuple[str, str, str], body: dict[str, Any]) -> dict[str, Any]:
        metadata = body["metadata"] = dict(body["metadata"])
        metadata.setdefault("uid", f"uid-{next(self._counter)}")
        metadata["resourceVersion"] = str(next(self._counter))
        self.objects[key] = body
        return body

    def _found(self, resource: Resource, namespace: str, name: str) -> dict[str, Any]:
        try:
            return self.objects[resource.kind, namespace, name]
        except KeyError:
            raise ApiError(404, "NotFound", f"{resource.plural} {name} not found") from None

    def _fail(self, verb: str, resource: Resource, subresource: str = "") -> None:
        name = f"{resource.plural}/{subresource}" if subresource else resource.plural
        rbac = {"apply": ("create", "patch"), "replace": ("update",)}.get(verb, (verb,))
        self.verbs |= {(one, name) for one in rbac}
        for i, (wanted, kind, error) in enumerate(self.failures):
            if (wanted, kind) == (verb, resource.kind):
                del self.failures[i]
                raise error

    def _write(self) -> None:
        if self.die_after is not None:
            if self.die_after == 0:
                raise OperatorDiedError
            self.die_after -= 1
        self.num_writes += 1


class Process:
    """The processes of one attempt, all pods together."""

    def __init__(self, cluster: FakeCluster, leaf: dict[str, Any]) -> None:
        self.cluster, self.leaf = cluster, leaf
        labels, metadata = leaf["metadata"]["labels"], leaf["metadata"]
        self.stage, self.attempt = labels["mimo.dev/stage"], int(labels["mimo.dev/attempt"])
        self.key = metadata["annotations"][ANNOTATION_STAGE_KEY]
        uid = metadata["ownerReferences"][0]["uid"]
        self.run_id = run_id(metadata["namespace"], labels["mimo.dev/pipeline"], uid)
        self.prefix = attempt_prefix(self.run_id, self.stage, self.attempt)

    @property
    def pods(self) -> list[dict[str, Any]]:
        return self.cluster.pods_of(self.leaf["metadata"]["name"])

    def claim(self) -> None:
        claim = Claim(owner=self.prefix, hostname="node", pid=1, created_at="", stage_key=self.key)
        claim_attempt(self.cluster.store, self.prefix, claim)

    def save(self, step: int) -> None:
        files = (FileEntry(path="state", size_bytes=1, sha256="0"),)
        record = CheckpointRecord(step=step, stage_key=self.key, files=files)
        key = join(self.prefix, CHECKPOINTS_DIR, step_dir(step), COMPLETE)
        self.cluster.store.put_bytes(key, record.to_json())

    def publish(self, **metrics: float) -> None:
        files = (FileEntry(path="weights", size_bytes=1, sha256=self.key[-8:]),)
        manifest = Manifest(
            stage=self.stage,
            attempt=self.attempt,
            run_id=self.run_id,
            stage_key=self.key,
            content_digest=content_digest(files),
            files=files,
            metrics=metrics,
        )
        self.cluster.store.put_bytes(join(self.prefix, MANIFEST), manifest.to_json())

    def end(self, exit_code: int, *, record: bool = True, reason: str = "", message: str = "") -> None:
        """All containers end; the job's controller sees it."""
        left = ExitRecord(exit_code=exit_code, reason=reason, message=message)
        if record:
            write_exit_record(self.cluster.store, self.prefix, left)
        text = left.to_json().decode() if record else ""
        for pod in self.pods:
            pod["status"] = {
                "phase": "Failed" if exit_code else "Succeeded",
                "containerStatuses": [_ended(self, exit_code, text)],
            }
            if "deletionTimestamp" in pod["metadata"]:
                del self.cluster.objects["Pod", pod["metadata"]["namespace"], pod["metadata"]["name"]]
        self.finish_leaf(succeeded=exit_code == 0)
        self.cluster.settle()

    def finish_leaf(self, *, succeeded: bool) -> None:
        leaf = self.cluster.leaf(self.leaf["metadata"]["name"])
        if leaf is None:
            return
        if leaf["kind"] == "RayJob":
            status = {"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED"}
            if not succeeded:
                status = {"jobDeploymentStatus": "Failed", "jobStatus": "FAILED", "reason": "AppFailed"}
            leaf["status"] = {**status, "endTime": _text(self.cluster.now)}
        else:
            success = "Succeeded" if leaf["kind"] == "PyTorchJob" else "Complete"
            condition = {"type": success if succeeded else "Failed", "status": "True"}
            leaf["status"] = {"conditions": [condition], "completionTime": _text(self.cluster.now)}


def _ended(process: Process, exit_code: int, message: str) -> dict[str, Any]:
    ended = {"exitCode": exit_code, "finishedAt": _text(process.cluster.now), "message": message}
    return {"name": "main", "state": {"terminated": ended}}


def _is_live(pod: Mapping[str, Any]) -> bool:
    return pod["status"]["phase"] not in ("Succeeded", "Failed") or "deletionTimestamp" in pod["metadata"]


def _selected(selector: str) -> dict[str, str]:
    return dict(part.split("=") for part in selector.split(",") if part)


def _field(item: Mapping[str, Any], path: str) -> Any:
    for name in path.split("."):
        item = item[name]
    return item


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
