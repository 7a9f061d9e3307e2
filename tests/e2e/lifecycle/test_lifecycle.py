"""A release from install to reinstall while a stage runs: what goes on, is refused, stays, comes back."""

from __future__ import annotations

import pytest

from mimo_vl.storage.artifacts import read_manifest
from mimo_vl.storage.layout import attempt_prefix
from tests.e2e.lifecycle.drive import NAMESPACE, PIPELINE, RELEASE, STEPS, UPGRADED_RESYNC_S, Life, volumes
from tests.e2e.port_forward import open_release_store

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

_MAX_RELEASE_BYTES = 500_000


def test_an_upgrade_and_a_rollback_leave_the_running_pod_alone(life: Life) -> None:
    steps = ("installed", "upgraded", "rolled back", "uninstall refused")
    assert {step: life.states[step] for step in steps} == dict.fromkeys(steps, "Running"), "raise STEPS if it has ended"
    assert len(life.uids["installed"]) == 1
    assert {step: life.uids[step] for step in (*steps, "ended")} == dict.fromkeys(
        (*steps, "ended"), life.uids["installed"]
    )
    assert (life.notes["stage"]["state"], life.notes["stage"]["attempt"]) == ("Succeeded", 1)


def test_an_upgrade_changes_the_settings_and_a_rollback_changes_them_back(life: Life) -> None:
    before = life.resync_s["installed"]
    assert before != UPGRADED_RESYNC_S
    assert life.resync_s["upgraded"] == UPGRADED_RESYNC_S
    assert life.resync_s["rolled back"] == before


def test_an_uninstall_while_a_pipeline_runs_is_refused_by_name(life: Life) -> None:
    assert f"pipelines run: {NAMESPACE}/{PIPELINE}" in life.notes["refusal"]
    assert "mimo suspend" in life.notes["refusal"]


def test_a_rollback_mends_a_release_whose_uninstall_was_refused(life: Life) -> None:
    assert life.notes["statuses"] == ["uninstalling", "deployed"]


def test_an_uninstall_leaves_the_crd_the_claims_and_the_pipelines(life: Life) -> None:
    """The mounted environment is the development cluster's."""
    environment = {"PersistentVolumeClaim/mimo-environment"} if life.pipelines.cluster.is_development else set()
    assert life.notes["left"] == {
        *environment,
        "CustomResourceDefinition/mimopipelines.mimo.dev",
        f"PersistentVolumeClaim/{RELEASE}-minio",
        f"PersistentVolumeClaim/{RELEASE}-mlflow",
        f"MimoPipeline/{PIPELINE}",
    }


def test_a_reinstall_adopts_claims_pipelines_and_artifacts(life: Life) -> None:
    cluster, pipelines = life.pipelines.cluster, life.pipelines
    assert volumes(cluster) == life.notes["volumes"]
    assert len(life.notes["volumes"]) == 2
    stage, uid = life.notes["stage"], pipelines.get(PIPELINE)["metadata"]["uid"]
    assert pipelines.stage(PIPELINE, "base") == stage
    with open_release_store(cluster, NAMESPACE, RELEASE) as store:
        prefix = attempt_prefix(f"{NAMESPACE}/{PIPELINE}/{uid[:8]}", "base", 1)
        assert read_manifest(store, prefix, expected_digest=stage["digest"]).files


def test_after_a_reinstall_the_same_work_is_reused(life: Life) -> None:
    pipelines = life.pipelines
    pipelines.create("again", profile="tiny", overrides=STEPS, stages=[{"name": "base", "job": {}}])
    pipelines.wait("reuse", lambda: pipelines.stage("again", "base").get("state") == "Succeeded", 60)
    assert pipelines.stage("again", "base")["outputUri"] == life.notes["stage"]["outputUri"]
    assert pipelines.leaves("again") == []


def test_the_tests_of_the_release_pass(life: Life) -> None:
    for name in ("test-store", "test-tracking"):
        assert f"{RELEASE}-{name}" in life.notes["test"]
    assert life.notes["test"].count("Succeeded") >= 2


def test_a_release_is_less_than_500_kb(life: Life) -> None:
    assert len(life.notes["release bytes"]) >= 3
    assert max(life.notes["release bytes"]) < _MAX_RELEASE_BYTES
