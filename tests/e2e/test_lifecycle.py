"""A release from install to reinstall while a stage runs: what goes on, is refused, stays, comes back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml

from mimo_vl.storage.artifacts import read_manifest
from mimo_vl.storage.layout import attempt_prefix
from tests.e2e.kube import Cluster, CommandError
from tests.e2e.pipelines import PIPELINE_LABEL, Pipelines
from tests.e2e.port_forward import open_release_store
from tests.e2e.release import CHART, delete_namespace, explain, install, make_namespace, values

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

_NAMESPACE, _RELEASE, _PIPELINE = "mimo-lifecycle", "lifecycle", "long"
# Long enough that the stage still runs after an upgrade, a rollback and a refused uninstall: a minute on two cores.
_STEPS = ["base.vision_batch_size=16", "base.vision_steps=200", "base.language_steps=100"]
_STAGE_DEADLINE_S = 240.0
_UPGRADED_RESYNC_S = 15
_MAX_RELEASE_BYTES = 500_000
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
        self.uids[step] = self.pipelines.pod_uids(_PIPELINE)
        self.states[step] = self.pipelines.stage(_PIPELINE, "base").get("state", "")
        settings = self.pipelines.cluster.get("configmap", f"{_RELEASE}-operator", _NAMESPACE)
        assert settings is not None
        self.resync_s[step] = yaml.safe_load(settings["data"]["operator.yaml"])["resyncIntervalS"]


@pytest.fixture(scope="module")
def life(cluster: Cluster) -> Iterator[Life]:
    delete_namespace(cluster, _NAMESPACE)
    make_namespace(cluster, _NAMESPACE)
    current = Life(Pipelines(cluster, _NAMESPACE))
    try:
        _while_a_stage_runs(current)
        _after_it(current)
        yield current
    except CommandError as error:
        pytest.fail(f"{error}\n{explain(cluster, _NAMESPACE)}")
    finally:
        cluster.helm("uninstall", _RELEASE, "-n", _NAMESPACE, "--no-hooks", "--ignore-not-found")
        delete_namespace(cluster, _NAMESPACE)


def _while_a_stage_runs(life: Life) -> None:
    cluster, pipelines = life.pipelines.cluster, life.pipelines
    install(cluster, _NAMESPACE, release=_RELEASE)
    pipelines.create(_PIPELINE, profile="tiny", overrides=_STEPS, stages=[{"name": "base", "job": {}}])
    pipelines.wait("the stage runs", lambda: _has_progress(pipelines), _STAGE_DEADLINE_S)
    life.look("installed")
    changed = ("--set", f"operator.resyncIntervalS={_UPGRADED_RESYNC_S}")
    cluster.helm("upgrade", _RELEASE, str(CHART), "-n", _NAMESPACE, *values(cluster), *changed, "--wait")
    life.look("upgraded")
    cluster.helm("rollback", _RELEASE, "1", "-n", _NAMESPACE, "--wait")
    life.look("rolled back")
    try:
        life.notes["refusal"] = cluster.helm("uninstall", _RELEASE, "-n", _NAMESPACE)
    except CommandError as error:
        life.notes["refusal"] = str(error)
    life.look("uninstall refused")


def _has_progress(pipelines: Pipelines) -> bool:
    stage = pipelines.stage(_PIPELINE, "base")
    return stage.get("state") == "Running" and (stage.get("progress") or {}).get("step", 0) > 0


def _after_it(life: Life) -> None:
    cluster, pipelines = life.pipelines.cluster, life.pipelines
    pipelines.wait(
        "the stage ends", lambda: pipelines.stage(_PIPELINE, "base")["state"] != "Running", _STAGE_DEADLINE_S
    )
    pipelines.wait("the pipeline ends", lambda: pipelines.get(_PIPELINE)["status"]["phase"] != "Running", 30)
    revisions = _revisions(cluster)
    cluster.helm("rollback", _RELEASE, str(revisions[-1]["revision"]), "-n", _NAMESPACE, "--wait")
    life.notes["statuses"] = [revisions[-1]["status"], _revisions(cluster)[-1]["status"]]
    life.look("ended")
    life.notes["stage"] = pipelines.stage(_PIPELINE, "base")
    life.notes["release bytes"] = _release_bytes(cluster)
    life.notes["volumes"] = _volumes(cluster)
    cluster.helm("uninstall", _RELEASE, "-n", _NAMESPACE, "--wait", "--timeout", "2m")
    pipelines.wait("its pods are gone", lambda: not _release_pods(cluster), 60)
    life.notes["left"] = _everything(cluster)
    install(cluster, _NAMESPACE, release=_RELEASE)
    life.notes["test"] = cluster.helm("test", _RELEASE, "-n", _NAMESPACE, "--timeout", "2m")


def _release_pods(cluster: Cluster) -> list[dict[str, Any]]:
    return cluster.list("pods", _NAMESPACE, f"app.kubernetes.io/instance={_RELEASE}")


def _revisions(cluster: Cluster) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(cluster.helm("history", _RELEASE, "-n", _NAMESPACE, "-o", "json"))
    return found


def _release_bytes(cluster: Cluster) -> list[int]:
    """Of each revision's Secret, as the API server keeps it."""
    secrets = cluster.list("secrets", _NAMESPACE, f"owner=helm,name={_RELEASE}")
    return [len(json.dumps(secret)) for secret in secrets]


def _volumes(cluster: Cluster) -> dict[str, str]:
    claims = cluster.list("pvc", _NAMESPACE, f"app.kubernetes.io/instance={_RELEASE}")
    return {claim["metadata"]["name"]: claim["spec"]["volumeName"] for claim in claims}


def _everything(cluster: Cluster) -> set[str]:
    """kind/name of all that is in the namespace but of the pipeline, and all that the release has cluster-wide."""
    listed = ("api-resources", "--verbs=list", "-o", "name")
    inside = ",".join(cluster.kubectl(*listed, "--namespaced=true").split())
    outside = ",".join(cluster.kubectl(*listed, "--namespaced=false").split())
    instance = f"app.kubernetes.io/instance={_RELEASE}"
    items = cluster.list(inside, _NAMESPACE)
    items += json.loads(cluster.kubectl("get", outside, "-l", instance, "-o", "json"))["items"]
    ours = [i for i in items if PIPELINE_LABEL not in i["metadata"].get("labels", {}) and i["kind"] not in _RECORDS]
    return {f"{i['kind']}/{i['metadata']['name']}" for i in ours} - _NOT_OURS


def test_an_upgrade_and_a_rollback_leave_the_running_pod_alone(life: Life) -> None:
    steps = ("installed", "upgraded", "rolled back", "uninstall refused")
    assert {step: life.states[step] for step in steps} == dict.fromkeys(steps, "Running"), (
        "raise _STEPS if it has ended"
    )
    assert len(life.uids["installed"]) == 1
    assert {step: life.uids[step] for step in (*steps, "ended")} == dict.fromkeys(
        (*steps, "ended"), life.uids["installed"]
    )
    assert (life.notes["stage"]["state"], life.notes["stage"]["attempt"]) == ("Succeeded", 1)


def test_an_upgrade_changes_the_settings_and_a_rollback_changes_them_back(life: Life) -> None:
    before = life.resync_s["installed"]
    assert before != _UPGRADED_RESYNC_S
    assert life.resync_s["upgraded"] == _UPGRADED_RESYNC_S
    assert life.resync_s["rolled back"] == before


def test_an_uninstall_while_a_pipeline_runs_is_refused_by_name(life: Life) -> None:
    assert f"pipelines run: {_NAMESPACE}/{_PIPELINE}" in life.notes["refusal"]
    assert "mimo suspend" in life.notes["refusal"]


def test_a_rollback_mends_a_release_whose_uninstall_was_refused(life: Life) -> None:
    assert life.notes["statuses"] == ["uninstalling", "deployed"]


def test_an_uninstall_leaves_the_crd_the_claims_and_the_pipelines(life: Life) -> None:
    """The Lease means nothing without an operator; the mounted environment is the development cluster's."""
    environment = {"PersistentVolumeClaim/mimo-environment"} if life.pipelines.cluster.is_development else set()
    assert life.notes["left"] == {
        *environment,
        "CustomResourceDefinition/mimopipelines.mimo.dev",
        f"PersistentVolumeClaim/{_RELEASE}-minio",
        f"PersistentVolumeClaim/{_RELEASE}-mlflow",
        "Lease/mimo-operator",
        f"MimoPipeline/{_PIPELINE}",
    }


def test_a_reinstall_adopts_claims_pipelines_and_artifacts(life: Life) -> None:
    cluster, pipelines = life.pipelines.cluster, life.pipelines
    assert _volumes(cluster) == life.notes["volumes"]
    assert len(life.notes["volumes"]) == 2
    stage, uid = life.notes["stage"], pipelines.get(_PIPELINE)["metadata"]["uid"]
    assert pipelines.stage(_PIPELINE, "base") == stage
    with open_release_store(cluster, _NAMESPACE, _RELEASE) as store:
        prefix = attempt_prefix(f"{_NAMESPACE}/{_PIPELINE}/{uid[:8]}", "base", 1)
        assert read_manifest(store, prefix, expected_digest=stage["digest"]).files


def test_after_a_reinstall_the_same_work_is_reused(life: Life) -> None:
    pipelines = life.pipelines
    pipelines.create("again", profile="tiny", overrides=_STEPS, stages=[{"name": "base", "job": {}}])
    pipelines.wait("reuse", lambda: pipelines.stage("again", "base").get("state") == "Succeeded", 60)
    assert pipelines.stage("again", "base")["outputUri"] == life.notes["stage"]["outputUri"]
    assert pipelines.leaves("again") == []


def test_the_tests_of_the_release_pass(life: Life) -> None:
    for name in ("test-store", "test-tracking"):
        assert f"{_RELEASE}-{name}" in life.notes["test"]
    assert life.notes["test"].count("Succeeded") >= 2


def test_a_release_is_less_than_500_kb(life: Life) -> None:
    assert len(life.notes["release bytes"]) >= 3
    assert max(life.notes["release bytes"]) < _MAX_RELEASE_BYTES
