"""A release from install to reinstall while a stage runs: what goes on, is refused, stays, comes back."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import yaml

from tests.e2e.kube import Cluster, CommandError
from tests.e2e.pipelines import PIPELINE_LABEL, Pipelines
from tests.e2e.release import CHART, install, values
from tests.e2e.stored_steps import StoredSteps

NAMESPACE, RELEASE, PIPELINE = "mimo-lifecycle", "lifecycle", "long"
# Long enough that the stage still runs after an upgrade, a rollback and a refused uninstall: a minute on two cores.
STEPS = ["base.vision_batch_size=16", "base.vision_steps=200", "base.language_steps=150"]
_STAGE_DEADLINE_S = 240.0
UPGRADED_RESYNC_S = 15
# What Kubernetes and helm's storage put into every namespace, and records of what happened.
_NOT_OURS = frozenset({"ConfigMap/kube-root-ca.crt", "ServiceAccount/default"})
_RECORDS = frozenset({"Event", "EndpointSlice", "Endpoints", "PodMetrics"})


@dataclass
class Life:
    """What was seen at each step."""

    pipelines: Pipelines
    uids: dict[str, set[str]] = field(default_factory=dict)
    """Step -> uids of the pipeline's pods then."""
    states: dict[str, str] = field(default_factory=dict)
    """Step -> state of the stage then."""
    resync_s: dict[str, int] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)

    def look(self, step: str) -> None:
        self.uids[step] = self.pipelines.pod_uids(PIPELINE)
        self.states[step] = _state(self.pipelines)
        settings = self.pipelines.cluster.get("configmap", f"{RELEASE}-operator", NAMESPACE)
        assert settings is not None
        self.resync_s[step] = yaml.safe_load(settings["data"]["operator.yaml"])["resyncIntervalS"]


def drive(life: Life) -> None:
    """From install to reinstall; the last release stays."""
    _while_a_stage_runs(life)
    _after_it(life)


def _while_a_stage_runs(life: Life) -> None:
    cluster, pipelines = life.pipelines.cluster, life.pipelines
    install(cluster, NAMESPACE, release=RELEASE)
    pipelines.create(PIPELINE, profile="tiny", overrides=STEPS, stages=[{"name": "base", "job": {}}])
    pipelines.wait("the stage runs", lambda: _state(pipelines) == "Running", _STAGE_DEADLINE_S)
    run_id = pipelines.run_id(PIPELINE)
    StoredSteps(cluster, NAMESPACE, RELEASE, run_id, _STAGE_DEADLINE_S).wait_for_step("base", 1)
    life.look("installed")
    changed = ("--set", f"operator.resyncIntervalS={UPGRADED_RESYNC_S}")
    cluster.helm("upgrade", RELEASE, str(CHART), "-n", NAMESPACE, *values(cluster), *changed, "--wait")
    life.look("upgraded")
    cluster.helm("rollback", RELEASE, "1", "-n", NAMESPACE, "--wait")
    life.look("rolled back")
    try:
        life.notes["refusal"] = cluster.helm("uninstall", RELEASE, "-n", NAMESPACE)
    except CommandError as error:
        life.notes["refusal"] = str(error)
    life.look("uninstall refused")


def _state(pipelines: Pipelines) -> str:
    return str(pipelines.stage(PIPELINE, "base").get("state", ""))


def _after_it(life: Life) -> None:
    cluster, pipelines = life.pipelines.cluster, life.pipelines
    pipelines.wait("the stage ends", lambda: _state(pipelines) != "Running", _STAGE_DEADLINE_S)
    pipelines.wait("the pipeline ends", lambda: pipelines.get(PIPELINE)["status"]["phase"] != "Running", 30)
    revisions = _revisions(cluster)
    cluster.helm("rollback", RELEASE, str(revisions[-1]["revision"]), "-n", NAMESPACE, "--wait")
    life.notes["statuses"] = [revisions[-1]["status"], _revisions(cluster)[-1]["status"]]
    life.look("ended")
    life.notes["stage"] = pipelines.stage(PIPELINE, "base")
    life.notes["release bytes"] = _release_bytes(cluster)
    life.notes["volumes"] = volumes(cluster)
    cluster.helm("uninstall", RELEASE, "-n", NAMESPACE, "--wait", "--timeout", "2m")
    pipelines.wait("its pods are gone", lambda: not _release_pods(cluster), 60)
    life.notes["left"] = _everything(cluster)
    install(cluster, NAMESPACE, release=RELEASE)
    life.notes["test"] = cluster.helm("test", RELEASE, "-n", NAMESPACE, "--timeout", "2m")


def _release_pods(cluster: Cluster) -> list[dict[str, Any]]:
    return cluster.list("pods", NAMESPACE, f"app.kubernetes.io/instance={RELEASE}")


def _revisions(cluster: Cluster) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(cluster.helm("history", RELEASE, "-n", NAMESPACE, "-o", "json"))
    return found


def _release_bytes(cluster: Cluster) -> list[int]:
    """Of each revision's Secret, as the API server keeps it."""
    secrets = cluster.list("secrets", NAMESPACE, f"owner=helm,name={RELEASE}")
    return [len(json.dumps(secret)) for secret in secrets]


def volumes(cluster: Cluster) -> dict[str, str]:
    claims = cluster.list("pvc", NAMESPACE, f"app.kubernetes.io/instance={RELEASE}")
    return {claim["metadata"]["name"]: claim["spec"]["volumeName"] for claim in claims}


def _everything(cluster: Cluster) -> set[str]:
    """kind/name of all that is in the namespace but of the pipeline, and all that the release has cluster-wide."""
    listed = ("api-resources", "--verbs=list", "-o", "name")
    inside = ",".join(cluster.kubectl(*listed, "--namespaced=true").split())
    outside = ",".join(cluster.kubectl(*listed, "--namespaced=false").split())
    instance = f"app.kubernetes.io/instance={RELEASE}"
    items = cluster.list(inside, NAMESPACE)
    items += json.loads(cluster.kubectl("get", outside, "-l", instance, "-o", "json"))["items"]
    ours = [i for i in items if PIPELINE_LABEL not in i["metadata"].get("labels", {}) and i["kind"] not in _RECORDS]
    return {f"{i['kind']}/{i['metadata']['name']}" for i in ours} - _NOT_OURS
