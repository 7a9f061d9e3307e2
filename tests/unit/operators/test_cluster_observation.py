"""Each trap of job status, pods and store, as one row: what is seen -> what it means."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mimo_vl.schema.manifest import ExitRecord
from operators.mimo_pipeline.cluster_leaf import parse_leaf
from operators.mimo_pipeline.cluster_observation import AttemptFacts, StoreEvidence, observe_attempt
from operators.mimo_pipeline.cluster_pods import PodFacts, parse_pod
from operators.mimo_pipeline.plan import LeafPhase, Output, StageObservation
from operators.mimo_pipeline.pod_history import PodHistory

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
OUTPUT = Output(uri="s3://mimo/x", digest="sha256:d", key="sha256:k")
_LABELS = {"mimo.dev/pipeline": "demo", "mimo.dev/stage": "morl", "mimo.dev/attempt": "1"}


def at(seconds: float) -> str:
    return (NOW + timedelta(seconds=seconds)).isoformat(timespec="seconds").replace("+00:00", "Z")


def record(code: int, reason: str = "", message: str = "") -> str:
    return ExitRecord(exit_code=code, reason=reason, message=message).to_json().decode()


def pod(name: str = "p0", phase: str = "Running", **how: Any) -> dict[str, Any]:
    """how: code, message, finished (s), oom, deleted (s, when it was asked), conditions, ray, waiting."""
    metadata: dict[str, Any] = {"name": name, "uid": name, "labels": dict(_LABELS)}
    if how.get("ray"):
        metadata["labels"]["ray.io/group"] = how["ray"]
    if "deleted" in how:
        metadata |= {"deletionTimestamp": at(how["deleted"] + 30), "deletionGracePeriodSeconds": 30}
    status: dict[str, Any] = {"phase": phase, "conditions": how.get("conditions", [])}
    if "code" in how:
        ended = {
            "exitCode": how["code"],
            "message": how.get("message", ""),
            "finishedAt": at(how.get("finished", 0)),
            "reason": "OOMKilled" if how.get("oom") else "Error",
        }
        status["containerStatuses"] = [{"state": {"terminated": ended}}]
    if "waiting" in how:
        status["containerStatuses"] = [{"state": {"waiting": how["waiting"]}}]
    return {"metadata": metadata, "spec": {"terminationGracePeriodSeconds": 30}, "status": status}


def leaf(kind: str, status: dict[str, Any] | None = None, **how: Any) -> dict[str, Any]:
    """how: deleting (s), suspend, queue."""
    metadata: dict[str, Any] = {"name": "demo-morl-1", "labels": dict(_LABELS)}
    metadata["annotations"] = {"mimo.dev/stage-key": "sha256:k"}
    if "deleting" in how:
        metadata["deletionTimestamp"] = at(how["deleting"])
    if "queue" in how:
        metadata["labels"]["kueue.x-k8s.io/queue-name"] = how["queue"]
    suspend = how.get("suspend", False)
    spec = {"runPolicy": {"suspend": suspend}} if kind == "PyTorchJob" else {"suspend": suspend}
    return {"kind": kind, "metadata": metadata, "spec": spec, "status": status or {}}


def conditions(*true: str, **more: Any) -> dict[str, Any]:
    return {"conditions": [{"type": name, "status": "True"} for name in true], **more}


def seen(
    job: dict[str, Any] | None,
    *pods: dict[str, Any],
    vanished: tuple[dict[str, Any], ...] = (),
    store: StoreEvidence | None = None,
) -> StageObservation:
    """The pods are told to the history in the order given, those that vanished first."""
    history = PodHistory()
    gone = tuple(_recorded(history, p) for p in vanished)
    facts = AttemptFacts(
        stage="morl",
        attempt=1,
        key="sha256:k",
        leaf=None if job is None else parse_leaf(job),
        pods=tuple(_recorded(history, p) for p in pods),
        vanished=gone,
        store=store or StoreEvidence(),
    )
    return observe_attempt(facts, NOW, node_lost_timeout_s=300)


def _recorded(history: PodHistory, item: dict[str, Any]) -> PodFacts:
    facts = parse_pod(item)
    assert facts is not None
    return history.record("team", facts)


FAILED = conditions("Created", "Failed", completionTime=at(0))
SUCCEEDED = conditions("Created", "Succeeded", completionTime=at(0))


@pytest.mark.parametrize(
    ("kind", "status", "phase"),
    [
        ("PyTorchJob", {}, LeafPhase.STARTING),
        ("PyTorchJob", conditions("Created", "Running"), LeafPhase.STARTING),
        ("TrainJob", {}, LeafPhase.STARTING),
        ("Job", {"active": 1}, LeafPhase.STARTING),
        # Failed soon: pods still terminate. Not final yet.
        ("Job", conditions("FailureTarget"), LeafPhase.STARTING),
        ("RayJob", {"jobDeploymentStatus": "Initializing"}, LeafPhase.STARTING),
        # Both are final to Ray and not yet to KubeRay.
        ("RayJob", {"jobDeploymentStatus": "Running", "jobStatus": "SUCCEEDED"}, LeafPhase.STARTING),
        # Words that later versions add.
        ("RayJob", {"jobDeploymentStatus": "Scheduling", "jobStatus": "NEW"}, LeafPhase.STARTING),
    ],
)
def test_a_job_that_is_not_over_counts_as_alive_without_pods(
    kind: str, status: dict[str, Any], phase: LeafPhase
) -> None:
    observed = seen(leaf(kind, status))
    assert (observed.alive, observed.phase, observed.exit_code) == (True, phase, None)


@pytest.mark.parametrize(
    ("kind", "status", "phase"),
    [
        ("PyTorchJob", SUCCEEDED, LeafPhase.FAILED),
        ("PyTorchJob", FAILED, LeafPhase.FAILED),
        ("TrainJob", conditions("Complete"), LeafPhase.FAILED),
        ("Job", conditions("Failed"), LeafPhase.FAILED),
        ("RayJob", {"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED"}, LeafPhase.FAILED),
        ("RayJob", {"jobDeploymentStatus": "Failed", "reason": "SubmissionFailed"}, LeafPhase.FAILED),
        ("RayJob", {"jobDeploymentStatus": "ValidationFailed"}, LeafPhase.FAILED),
    ],
)
def test_a_final_status_says_nothing_while_a_pod_runs(kind: str, status: dict[str, Any], phase: LeafPhase) -> None:
    assert seen(leaf(kind, status), pod(ray="headgroup")).alive
    over = seen(leaf(kind, status))
    # Without a manifest even a successful job is a failure.
    assert (over.alive, over.phase) == (False, phase)


def test_a_suspended_ray_job_whose_pods_terminate_is_alive() -> None:
    job = leaf("RayJob", {"jobDeploymentStatus": "Suspended"}, suspend=True)
    assert seen(job, pod(deleted=-5, ray="headgroup")).alive


def test_finished_pods_that_stay_for_their_logs_do_not_live() -> None:
    assert not seen(leaf("PyTorchJob", FAILED), pod(phase="Failed", code=1), pod("p1", phase="Succeeded", code=0)).alive


def test_a_terminating_pod_lives_whatever_its_phase() -> None:
    assert seen(leaf("PyTorchJob", FAILED), pod(phase="Failed", code=1, deleted=-5)).alive


def test_a_job_that_is_gone_leaves_its_pods_to_us() -> None:
    observed = seen(None, pod())
    assert (observed.alive, observed.headless, observed.terminating_s) == (True, True, None)
    assert not seen(None, pod(deleted=-5)).headless


def test_pods_that_nobody_removes_after_the_end_of_their_job_are_headless_after_a_minute() -> None:
    def job(seconds: float) -> dict[str, Any]:
        return leaf("PyTorchJob", conditions("Succeeded", completionTime=at(seconds)))

    assert not seen(job(-50), pod()).headless
    assert seen(job(-70), pod()).headless


@pytest.mark.parametrize(
    ("codes", "wanted"),
    [
        ((0, 0), 0),
        ((1, 0), 1),
        ((1, 2), 2),
        ((75, 2), 2),
        ((1, 75), 75),
        ((137, 0), 137),
    ],
)
def test_exit_codes_of_pods_combine_like_those_of_ranks(codes: tuple[int, int], wanted: int) -> None:
    pods = [pod(f"p{i}", phase="Failed", code=code) for i, code in enumerate(codes)]
    assert seen(leaf("PyTorchJob", FAILED), *pods).exit_code == wanted


def test_the_launchers_record_goes_before_the_code_of_the_container() -> None:
    ended = pod(phase="Failed", code=1, message=record(2, "ConfigError", "model.x: unknown key"))
    observed = seen(leaf("PyTorchJob", FAILED), ended)
    assert (observed.exit_code, observed.reason, observed.message) == (2, "ConfigError", "model.x: unknown key")


def test_a_pod_that_was_told_to_end_because_its_peer_failed_explains_nothing() -> None:
    failed = pod("p1", phase="Failed", code=1, finished=-10)
    cleaned = pod("p0", phase="Failed", code=75, finished=-5, deleted=-9, message=record(75, "Interrupted", "saved"))
    store = StoreEvidence(exit_record=ExitRecord(exit_code=75, reason="Interrupted", message="saved"))
    observed = seen(leaf("PyTorchJob", FAILED), failed, vanished=(cleaned,), store=store)
    assert (observed.exit_code, observed.is_evicted) == (1, False)


def test_a_deleted_pod_is_an_eviction_although_its_job_failed_at_once() -> None:
    deleted = pod("p1", deleted=-5)
    peer = pod("p0", phase="Failed", code=1, finished=-3)
    observed = seen(leaf("PyTorchJob", FAILED), deleted, peer)
    assert (observed.alive, observed.is_evicted) == (True, True)


def test_within_one_second_the_order_of_events_decides() -> None:
    failed = pod("p1", phase="Failed", code=1, finished=-5)
    removed = pod("p0", deleted=-5)
    assert not seen(leaf("PyTorchJob", FAILED), failed, removed).is_evicted
    assert seen(leaf("PyTorchJob", FAILED), removed, failed).is_evicted


def test_disruption_is_an_eviction_even_of_a_failed_pod() -> None:
    condition = [{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}]
    evicted = pod(phase="Failed", code=137, conditions=condition)
    assert seen(leaf("Job", conditions("Failed")), evicted).is_evicted


def test_a_pod_above_its_own_limit_of_disk_failed_and_was_not_evicted() -> None:
    condition = [{"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet"}]
    ended = pod(phase="Failed", code=137, conditions=condition)
    ended["status"] |= {"reason": "Evicted", "message": 'Usage of EmptyDir volume "scratch" exceeds the limit "1Gi".'}
    observed = seen(leaf("Job", conditions("Failed")), ended)
    assert (observed.is_evicted, observed.reason) == (False, "DiskLimitExceeded")
    assert "raise pod.scratchSize" in observed.message
    ended["status"]["message"] = "The node was low on resource: memory."
    assert seen(leaf("Job", conditions("Failed")), ended).is_evicted


def test_workers_stopped_after_the_master_succeeded_are_no_eviction() -> None:
    master = pod("p0", phase="Succeeded", code=0)
    worker = pod("p1", phase="Failed", code=75, deleted=-3)
    assert not seen(leaf("PyTorchJob", SUCCEEDED), master, worker).is_evicted


def test_pods_removed_with_the_cluster_of_a_finished_ray_job_are_no_eviction() -> None:
    status = {"jobDeploymentStatus": "Failed", "reason": "AppFailed", "endTime": at(-10)}
    assert not seen(leaf("RayJob", status), pod(deleted=-8, ray="headgroup")).is_evicted
    # The head was deleted first, the job failed of it.
    assert seen(leaf("RayJob", status), pod(deleted=-16, ray="headgroup")).is_evicted


def test_a_killed_container_is_out_of_memory_by_its_reason() -> None:
    assert seen(leaf("Job", conditions("Failed")), pod(phase="Failed", code=137, oom=True)).is_oom
    assert not seen(leaf("Job", conditions("Failed")), pod(phase="Failed", code=137)).is_oom


def test_pods_that_vanished_are_explained_by_the_store() -> None:
    store = StoreEvidence(
        claim_key="sha256:k", exit_record=ExitRecord(exit_code=75, message="saved step 8"), checkpoint_step=8
    )
    observed = seen(None, store=store)
    assert (observed.phase, observed.exit_code, observed.message) == (LeafPhase.GONE, 75, "saved step 8")
    assert (observed.checkpoint_step, observed.key) == (8, "sha256:k")


def test_nothing_at_all_is_an_unknown_end() -> None:
    observed = seen(None)
    assert (observed.alive, observed.exit_code, observed.object_exists) == (False, None, False)


def test_the_manifest_is_the_output_whatever_pods_exit_with() -> None:
    observed = seen(leaf("PyTorchJob", FAILED), pod(phase="Failed", code=1), store=StoreEvidence(output=OUTPUT))
    assert (observed.phase, observed.output) == (LeafPhase.SUCCEEDED, OUTPUT)


def test_containers_of_ray_say_nothing_by_their_codes() -> None:
    status = {"jobDeploymentStatus": "Failed", "reason": "SubmissionFailed", "jobStatus": "RUNNING"}
    observed = seen(leaf("RayJob", status), pod(phase="Failed", code=1, ray="rollout"))
    assert (observed.exit_code, observed.reason) == (None, "SubmissionFailed")
    head = pod(phase="Failed", code=137, ray="headgroup", message=record(2, "InputError", "x is missing"))
    assert seen(leaf("RayJob", status), head).exit_code == 2


@pytest.mark.parametrize("master_after_s", [0, 3])
def test_the_rank_that_a_signal_ended_explains_the_lost_connection_of_its_peer(master_after_s: int) -> None:
    lost, ended = record(1, "RuntimeError", "closed by peer"), record(1, "Killed", "rank 1 was ended by SIGABRT")
    master = pod("master-0", "Failed", code=1, message=lost, finished=-9 + master_after_s)
    worker = pod("worker-0", "Failed", code=1, message=ended, finished=-9)
    store = StoreEvidence(exit_record=ExitRecord(exit_code=1, reason="RuntimeError", message="closed by peer"))
    observed = seen(leaf("PyTorchJob", FAILED), master, worker, store=store)
    assert (observed.reason, observed.message) == ("Killed", "rank 1 was ended by SIGABRT")


def test_of_two_pods_that_failed_the_first_one_tells_why() -> None:
    first, then = record(1, "ValueError", "no such row"), record(1, "Killed", "rank 0 was ended by SIGABRT")
    master = pod("master-0", "Failed", code=1, message=then, finished=-4)
    worker = pod("worker-0", "Failed", code=1, message=first, finished=-9)
    assert seen(leaf("PyTorchJob", FAILED), master, worker).reason == "ValueError"


def test_the_log_in_the_message_of_a_ray_job_never_gets_into_the_status() -> None:
    text = "Job entrypoint command failed with exit code 2, last available logs: SECRET " + "x" * 20_000
    status = {"jobDeploymentStatus": "Failed", "jobStatus": "FAILED", "reason": "AppFailed", "message": text}
    observed = seen(leaf("RayJob", status))
    assert observed.exit_code == 2
    assert observed.message == "the RayJob is Failed, its driver FAILED"


def test_a_refused_ray_job_is_permanent() -> None:
    status = {"jobDeploymentStatus": "ValidationFailed", "message": "name is too long"}
    observed = seen(leaf("RayJob", status))
    assert (observed.exit_code, observed.message) == (2, "KubeRay refuses the RayJob: name is too long")


@pytest.mark.parametrize("kind", ["PyTorchJob", "TrainJob", "RayJob", "Job"])
def test_a_job_that_waits_for_its_queue_is_queued(kind: str) -> None:
    observed = seen(leaf(kind, suspend=True, queue="team"))
    assert (observed.phase, observed.is_evicted) == (LeafPhase.QUEUED, False)


def test_a_job_that_ran_and_is_queued_again_was_evicted_and_must_not_run_again() -> None:
    store = StoreEvidence(claim_key="sha256:k")
    observed = seen(leaf("PyTorchJob", suspend=True, queue="team"), store=store)
    assert (observed.phase, observed.is_evicted, observed.alive) == (LeafPhase.INTERRUPTED, True, True)


def test_a_job_suspended_by_hand_says_so() -> None:
    observed = seen(leaf("Job", suspend=True))
    assert (observed.phase, observed.reason) == (LeafPhase.SUSPENDED, "JobSuspended")


def test_a_pod_that_cannot_start_says_why() -> None:
    waiting = {"reason": "ImagePullBackOff", "message": "no such image"}
    observed = seen(leaf("Job", {}), pod(phase="Pending", waiting=waiting))
    assert (observed.reason, observed.message) == ("ImagePullBackOff", "pod p0: no such image")
    unscheduled = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}]
    assert seen(leaf("Job", {}), pod(phase="Pending", conditions=unscheduled)).message == "pod p0: 0/1 nodes"


def test_the_time_since_the_order_to_stop_is_not_that_of_its_end() -> None:
    # deletionTimestamp of a pod is when its grace period is over: 30 s after the order.
    assert seen(None, pod(deleted=-7)).terminating_s == 7
    assert seen(leaf("Job", {}, deleting=-9), pod()).terminating_s == 9


def test_messages_are_cut() -> None:
    ended = pod(phase="Failed", code=1, message=record(1, "Error", "x" * 3000))
    assert len(seen(leaf("Job", conditions("Failed")), ended).message) == 1024


_SILENT_NODE = [
    {"type": "Ready", "status": "False", "lastTransitionTime": at(-400)},
    {"type": "ContainersReady", "status": "True"},
]


def test_pods_of_a_silent_node_count_as_gone_only_after_revocation() -> None:
    job = leaf("PyTorchJob", FAILED)
    assert seen(job, pod(conditions=_SILENT_NODE)).alive
    revoked = seen(job, pod(conditions=_SILENT_NODE), store=StoreEvidence(is_revoked=True))
    assert (revoked.alive, revoked.is_evicted) == (False, True)


def test_a_pod_whose_order_to_end_nobody_followed_is_lost_too() -> None:
    store = StoreEvidence(is_revoked=True)
    assert seen(leaf("PyTorchJob", FAILED), pod(deleted=-320), store=store).alive
    assert not seen(leaf("PyTorchJob", FAILED), pod(deleted=-340), store=store).alive


def test_a_pod_of_a_living_node_is_waited_for_even_if_another_one_is_lost() -> None:
    store = StoreEvidence(is_revoked=True)
    assert seen(leaf("PyTorchJob", FAILED), pod("p0", conditions=_SILENT_NODE), pod("p1"), store=store).alive
