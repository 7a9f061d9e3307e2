"""A pipeline steered with `mimo` from suspend to cancel, one that trains anew what it reused, one of another team.

The team's runs beside the steered one: it lacks a Secret, then meets no gate, and is deleted in the end.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from mimo_vl.storage.checkpoints import complete_steps
from mimo_vl.storage.layout import CHECKPOINTS_DIR, attempt_prefix, join
from tests.e2e.pipelines import Pipelines
from tests.e2e.port_forward import open_release_store
from tests.e2e.release import ROOT
from tests.e2e.steering.inputs import bring
from tests.e2e.steering.names import NAMESPACE, RELEASE, TEAM
from tests.e2e.stored_steps import StoredSteps

STEERED, AGAIN, TEAMS = "steered", "again", "teams"
TRAINED, NEXT = "projector-warmup", "vision-language-alignment"
INPUTS_SECRET, TTL_S = "elsewhere", 5
_LEASE = "mimo-operator"
_STAGE_DEADLINE_S = 180.0
# Enough to be met in the middle twice: by the suspension, and by the change of the operator after it.
_STEPS = {
    f"stages.{TRAINED}.num_steps": 40,
    f"stages.{TRAINED}.checkpoint.every_steps": 4,
    f"stages.{NEXT}.num_steps": 400,
}
# No loss is below zero.
GATE = {"metric": "loss_last", "comparison": "<", "threshold": 0}
_SMALL_BASE = ["base.vision_batch_size=4", "base.vision_steps=4", "base.language_steps=4"]


@dataclass
class Seen:
    """What was there at each point."""

    pipelines: Pipelines
    statuses: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Point -> status of the pipeline."""
    leaves: dict[str, list[str]] = field(default_factory=dict)
    """Point -> its jobs and pods."""
    uids: dict[str, set[str]] = field(default_factory=dict)
    """Point -> uids of its pods."""
    holders: dict[str, str] = field(default_factory=dict)
    """Point -> which replica of the operator holds the lease."""
    notes: dict[str, Any] = field(default_factory=dict)

    def look(self, point: str, name: str) -> None:
        self.statuses[point] = self.pipelines.get(name)["status"]
        self.leaves[point] = self.pipelines.leaves(name)
        self.uids[point] = self.pipelines.pod_uids(name)

    def stage(self, point: str, name: str) -> dict[str, Any]:
        [found] = [s for s in self.statuses[point]["stages"] if s["name"] == name]
        return dict(found)

    def mimo(self, *arguments: str, namespace: str = NAMESPACE) -> str:
        return self.pipelines.cluster.run(sys.executable, "-m", "jobs.cli", *arguments, "-n", namespace)

    def wait(self, name: str, stage: str, state: str, *, attempt: int = 1) -> None:
        def probe() -> bool:
            now = self.pipelines.stage(name, stage)
            return now.get("state") == state and now.get("attempt", 0) >= attempt

        self.pipelines.wait(f"{name}: {stage} is {state}", probe, _STAGE_DEADLINE_S)

    def wait_for_step(self, name: str, stage: str, step: int, attempt: int = 1) -> None:
        """Until this attempt runs and has done that step."""
        self.wait(name, stage, "Running", attempt=attempt)
        where = (self.pipelines.cluster, NAMESPACE, RELEASE, self.pipelines.run_id(name))
        StoredSteps(*where, _STAGE_DEADLINE_S).wait_for_step(stage, step, attempt)


def drive(seen: Seen) -> None:
    _start_team_without_its_secret(seen)
    _copy_store_secret(seen, f"{RELEASE}-store", TEAM)
    inputs = _inputs(seen)
    overrides = _overrides()
    training = {"name": TRAINED, "pytorch": {"numNodes": 2}, "inputs": ["base", "curate"]}
    after = {"name": NEXT, "pytorch": {"numNodes": 2}, "inputs": ["base", "curate"], "dependsOn": [TRAINED]}
    stages = [{**training, "approval": "manual"}, after]
    seen.pipelines.create(STEERED, profile="tiny", overrides=overrides, inputs=inputs, stages=stages)
    _suspend_and_resume(seen)
    _change_operators(seen)
    _approve_and_cancel(seen)
    ttl = {"ttlSecondsAfterFinished": TTL_S}
    seen.pipelines.create(AGAIN, profile="tiny", overrides=overrides, inputs=inputs, stages=[training], **ttl)
    _run_anew(seen)
    _end_the_team(seen)


def _suspend_and_resume(seen: Seen) -> None:
    seen.wait_for_step(STEERED, TRAINED, 6)
    seen.mimo("suspend", "--pipeline", STEERED)
    seen.wait(STEERED, TRAINED, "Suspended")
    seen.pipelines.wait("its jobs are gone", lambda: not seen.pipelines.leaves(STEERED), 60)
    seen.look("suspended", STEERED)
    prefix = attempt_prefix(seen.pipelines.run_id(STEERED), TRAINED, 1)
    with open_release_store(seen.pipelines.cluster, NAMESPACE, RELEASE) as store:
        seen.notes["saved"] = complete_steps(store, join(prefix, CHECKPOINTS_DIR))
    seen.mimo("resume", "--pipeline", STEERED)
    seen.wait_for_step(STEERED, TRAINED, max(seen.notes["saved"]) + 1, attempt=2)
    seen.look("resumed", STEERED)
    pods = seen.pipelines.cluster.list("pods", NAMESPACE, f"mimo.dev/pipeline={STEERED}")
    seen.notes["secrets"] = {name for pod in pods for name in _secrets(pod)}


def _secrets(pod: Mapping[str, Any]) -> set[str]:
    sources = [e.get("valueFrom", {}) for c in pod["spec"]["containers"] for e in c.get("env", [])]
    return {s["secretKeyRef"]["name"] for s in sources if "secretKeyRef" in s}


def _change_operators(seen: Seen) -> None:
    """The one that works goes while a stage runs."""
    cluster, holder = seen.pipelines.cluster, seen.holders
    holder["before"] = _holder(seen)
    cluster.kubectl("delete", "pod", holder["before"], "-n", NAMESPACE, "--wait=false")
    seen.pipelines.wait("another replica works", lambda: _holder(seen) not in ("", holder["before"]), 60)
    holder["after"] = _holder(seen)
    seen.look("changed", STEERED)


def _holder(seen: Seen) -> str:
    lease = seen.pipelines.cluster.get("lease", _LEASE, NAMESPACE)
    return str(lease["spec"].get("holderIdentity") or "") if lease else ""


def _approve_and_cancel(seen: Seen) -> None:
    seen.wait(STEERED, TRAINED, "AwaitingApproval", attempt=2)
    seen.look("awaiting", STEERED)
    seen.mimo("approve", TRAINED, "--pipeline", STEERED)
    seen.wait_for_step(STEERED, NEXT, 1)
    seen.look("approved", STEERED)
    seen.mimo("cancel", "--pipeline", STEERED)
    seen.pipelines.wait(
        "it is cancelled", lambda: seen.pipelines.get(STEERED)["status"]["phase"] == "Cancelled", _STAGE_DEADLINE_S
    )
    seen.look("cancelled", STEERED)


def _run_anew(seen: Seen) -> None:
    seen.wait(AGAIN, TRAINED, "Succeeded", attempt=0)
    seen.look("reused", AGAIN)
    seen.mimo("retry", "--from", TRAINED, "--pipeline", AGAIN)
    seen.wait(AGAIN, TRAINED, "Running")
    seen.wait(AGAIN, TRAINED, "Succeeded")
    seen.look("anew", AGAIN)
    seen.pipelines.wait("its jobs are gone", lambda: not seen.pipelines.leaves(AGAIN), TTL_S + 60)
    seen.look("after its TTL", AGAIN)


def _start_team_without_its_secret(seen: Seen) -> None:
    theirs = Pipelines(seen.pipelines.cluster, TEAM)
    base = {"name": "base", "job": {}, "gate": GATE}
    theirs.create(TEAMS, profile="tiny", overrides=_SMALL_BASE, stages=[base])
    theirs.wait("SecretMissing", lambda: theirs.condition(TEAMS, "SecretMissing").get("status") == "True", 90)
    seen.notes["told"] = theirs.condition(TEAMS, "SecretMissing")["message"]


def _end_the_team(seen: Seen) -> None:
    """Its stage has ended minutes ago: time for a retry, if there were one."""
    theirs = Pipelines(seen.pipelines.cluster, TEAM)
    theirs.wait("the team's stage ends", lambda: theirs.get(TEAMS)["status"]["phase"] == "Failed", _STAGE_DEADLINE_S)
    seen.notes["team"] = theirs.get(TEAMS)
    seen.notes["team's children"] = theirs.children(TEAMS)
    theirs.cluster.kubectl("delete", "mp", TEAMS, "-n", TEAM)
    theirs.wait("what the team's pipeline made is gone", lambda: not theirs.children(TEAMS), 60)


def _copy_store_secret(seen: Seen, name: str, namespace: str) -> None:
    found = seen.pipelines.cluster.get("secret", f"{RELEASE}-store", NAMESPACE)
    assert found is not None
    data = {key: base64.b64decode(value).decode() for key, value in found["data"].items()}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}
    seen.pipelines.cluster.apply(secret, namespace=namespace)


def _inputs(seen: Seen) -> list[dict[str, Any]]:
    """Named with an address and a Secret of their own, as those of another store are."""
    _copy_store_secret(seen, INPUTS_SECRET, NAMESPACE)
    where = {"endpoint": f"{RELEASE}-minio.{NAMESPACE}.svc:9000", "secure": False, "secretRef": INPUTS_SECRET}
    with open_release_store(seen.pipelines.cluster, NAMESPACE, RELEASE) as store:
        return [{**bring(stage, store), **where} for stage in ("base", "curate")]


def _overrides() -> list[str]:
    """Those of the short pipeline, with other numbers of steps."""
    spec = yaml.safe_load((ROOT / "examples/demo-ci.yaml").read_text(encoding="utf-8"))["spec"]
    kept = [o for o in spec["overrides"] if o.split("=")[0] not in _STEPS]
    return [*kept, *(f"{name}={json.dumps(value)}" for name, value in _STEPS.items())]
