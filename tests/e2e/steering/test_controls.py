"""Every control on a real cluster, given as a user gives it; a standby operator; a team with a namespace of its own."""

from __future__ import annotations

import pytest

from mimo_vl.storage.artifacts import read_manifest
from mimo_vl.storage.layout import attempt_prefix
from tests.e2e.kube import CommandError
from tests.e2e.pipelines import Pipelines
from tests.e2e.port_forward import open_release_store
from tests.e2e.release import explain
from tests.e2e.steering.drive import AGAIN, INPUTS_SECRET, NEXT, STEERED, TEAMS, TRAINED, Seen, drive
from tests.e2e.steering.names import NAMESPACE, RELEASE, TEAM

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def seen(pipelines: Pipelines) -> Seen:
    current = Seen(pipelines)
    try:
        drive(current)
    except CommandError as error:
        pytest.fail(f"{error}\n{explain(pipelines.cluster, NAMESPACE)}")
    return current


def test_suspend_saves_and_leaves_neither_job_nor_pod(seen: Seen) -> None:
    stage = seen.stage("suspended", TRAINED)
    assert (stage["state"], stage["attempt"], stage["failures"]) == ("Suspended", 1, 0)
    assert seen.statuses["suspended"]["phase"] == "Suspended"
    assert seen.leaves["suspended"] == []
    # It was asked at step 6 or later, between the checkpoints of every fourth step: SIGTERM saves where it is.
    assert max(seen.notes["saved"]) >= 6


def test_resume_goes_on_behind_the_saved_step_and_costs_no_retry(seen: Seen) -> None:
    stage = seen.stage("resumed", TRAINED)
    assert (stage["state"], stage["attempt"], stage["failures"]) == ("Running", 2, 0)
    assert stage["resumeStep"] == max(seen.notes["saved"])


def test_an_input_of_another_store_is_read_with_its_own_secret(seen: Seen) -> None:
    assert {INPUTS_SECRET, f"{RELEASE}-store"} <= seen.notes["secrets"]


def test_another_replica_takes_over_and_the_running_pods_do_not_notice(seen: Seen) -> None:
    assert seen.holders["after"] not in ("", seen.holders["before"])
    assert seen.uids["changed"] == seen.uids["resumed"]
    assert len(seen.uids["changed"]) == 2
    assert seen.stage("awaiting", TRAINED)["attempt"] == 2


def test_nothing_after_a_stage_starts_before_its_approval(seen: Seen) -> None:
    assert seen.stage("awaiting", TRAINED)["state"] == "AwaitingApproval"
    following = seen.stage("awaiting", NEXT)
    assert (following["state"], following["attempt"]) == ("Pending", 0)
    assert seen.stage("approved", TRAINED)["state"] == "Succeeded"
    assert seen.stage("approved", NEXT)["attempt"] == 1


def test_cancel_stops_what_runs_and_keeps_what_is_finished(seen: Seen) -> None:
    assert seen.statuses["cancelled"]["phase"] == "Cancelled"
    assert seen.stage("cancelled", TRAINED)["state"] == "Succeeded"
    assert seen.stage("cancelled", NEXT)["state"] in ("Skipped", "Failed")
    pods = seen.pipelines.cluster.list("pods", NAMESPACE, f"mimo.dev/pipeline={STEERED}")
    assert [p["metadata"]["name"] for p in pods if p["status"]["phase"] in ("Pending", "Running")] == []


def test_a_second_pipeline_reuses_it_without_a_job(seen: Seen) -> None:
    stage, first = seen.stage("reused", TRAINED), seen.stage("cancelled", TRAINED)
    assert (stage["reused"], stage["attempt"]) == (True, 0)
    assert (stage["outputUri"], stage["digest"]) == (first["outputUri"], first["digest"])
    assert seen.leaves["reused"] == []


def test_retry_trains_anew_to_the_weights_of_the_run_that_was_suspended(seen: Seen) -> None:
    anew, first = seen.stage("anew", TRAINED), seen.stage("cancelled", TRAINED)
    assert (anew["reused"], anew["attempt"], anew["resumeStep"]) == (False, 1, -1)
    assert anew["outputUri"] != first["outputUri"]
    assert anew["digest"] == first["digest"]


def test_after_the_ttl_jobs_are_gone_and_artifacts_stay(seen: Seen) -> None:
    assert seen.leaves["after its TTL"] == []
    prefix = attempt_prefix(seen.pipelines.run_id(AGAIN), TRAINED, 1)
    with open_release_store(seen.pipelines.cluster, NAMESPACE, RELEASE) as store:
        assert read_manifest(store, prefix, expected_digest=seen.stage("anew", TRAINED)["digest"]).files


def test_a_team_without_the_stores_secret_is_told_and_goes_on_once_it_is_there(seen: Seen) -> None:
    assert f"{RELEASE}-store" in seen.notes["told"]
    status = seen.notes["team"]["status"]
    [stage] = status["stages"]
    assert (stage["name"], stage["exitCode"], stage["failures"]) == ("base", 0, 0)
    assert stage["digest"].startswith("sha256:")
    assert not [c for c in status["conditions"] if c["type"] == "SecretMissing" and c["status"] == "True"]


def test_a_gate_that_is_not_met_fails_the_stage_and_no_retry_is_made(seen: Seen) -> None:
    status = seen.notes["team"]["status"]
    [stage] = status["stages"]
    assert (stage["state"], stage["reason"], stage["attempt"]) == ("Failed", "GateNotMet", 1)
    assert "gate loss_last < 0 is not met: " in stage["message"]
    assert status["phase"] == "Failed"
    # The Job and its one pod, and the configuration.
    assert [child.split("/")[0] for child in seen.notes["team's children"]] == ["ConfigMap", "Job", "Pod"]


def test_a_deleted_pipeline_takes_its_children_along_and_leaves_its_artifacts(seen: Seen) -> None:
    theirs = Pipelines(seen.pipelines.cluster, TEAM)
    assert theirs.children(TEAMS) == []
    assert theirs.cluster.get("mp", TEAMS, TEAM) is None
    uid, [stage] = seen.notes["team"]["metadata"]["uid"], seen.notes["team"]["status"]["stages"]
    with open_release_store(theirs.cluster, NAMESPACE, RELEASE) as store:
        prefix = attempt_prefix(f"{TEAM}/{TEAMS}/{uid[:8]}", "base", 1)
        assert read_manifest(store, prefix, expected_digest=stage["digest"]).files
