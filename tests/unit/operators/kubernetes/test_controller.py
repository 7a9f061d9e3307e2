"""Whole pipelines through the cluster controller, on an API in memory and a real store; the operator dies anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mimo_vl.errors import ConfigError, StorageError
from mimo_vl.schema.verdict import AttemptEnd, AttemptVerdict
from mimo_vl.storage.attempts import conclude_attempt, read_verdict
from mimo_vl.storage.local import LocalStore
from mimo_vl.storage.store import store_for_uri
from operators.mimo_pipeline.api import MimoPipelineStatus, StoreSettings
from operators.mimo_pipeline.cluster_settings import ClusterSettings
from operators.mimo_pipeline.code_digest import project_root
from operators.mimo_pipeline.kubernetes import controller as controller_module
from operators.mimo_pipeline.kubernetes.cluster import ApiError
from operators.mimo_pipeline.kubernetes.compose_runtime import Composed
from operators.mimo_pipeline.kubernetes.controller import Controller
from operators.mimo_pipeline.kubernetes.resources import PYTORCH_JOBS
from operators.mimo_pipeline.plan import PipelineRuntime
from tests.fakes.cluster import FakeCluster, OperatorDiedError, Process

_STAGES = [
    {"name": "base", "job": {}},
    {"name": "projector-warmup", "pytorch": {"numNodes": 2}, "dependsOn": ["base"]},
    {"name": "finalize", "job": {}, "dependsOn": ["base", "projector-warmup"], "runOnFailure": True},
]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    # Hydra takes a second each time; test_compose_runtime.py tests it.
    runtime = PipelineRuntime(
        config={"profile": "tiny"},
        config_digests={s["name"]: f"sha256:{s['name']}" for s in _STAGES},
        code_digest="sha256:code",
        image_digests={"trainer": "registry/trainer:1"},
        store=StoreSettings(uri=tmp_path.as_uri(), secret="store"),
    )
    monkeypatch.setattr(controller_module, "compose_runtime", lambda *_: Composed(runtime=runtime))
    return World(tmp_path)


class World:
    """A cluster, an operator that can be replaced, and a user."""

    def __init__(self, path: Path) -> None:
        self.uri = path.as_uri()
        self.cluster = FakeCluster(store=store_for_uri(self.uri))
        self.restart()

    def restart(self, uri: str = "") -> None:
        """A new process: nothing in memory is left. `uri`: of another store in its settings."""
        store = {"uri": uri or self.uri, "secret": "store"}
        accounts = {"trainer": "trainer", "rayHead": "head", "rayWorker": "worker"}
        images = {"trainer": {"reference": "registry/trainer:2"}, "rollout": {"reference": "registry/rollout:2"}}
        settings = ClusterSettings.model_validate({"images": images, "serviceAccounts": accounts, "store": store})
        self.controller = Controller(
            api=self.cluster, settings=settings, source_root=project_root(), now=lambda: self.cluster.now
        )
        self.controller.discovery._clock = lambda: self.cluster.now.timestamp()

    def submit(self, **changes: Any) -> None:
        self.spec = {"profile": "tiny", "stages": _STAGES, **changes}
        self.cluster.put_pipeline("demo", self.spec)

    def edit(self, **changes: Any) -> None:
        self.spec = {**self.spec, **changes}
        self.cluster.put_pipeline("demo", self.spec)

    def rounds(self, count: int = 4) -> None:
        for _ in range(count):
            self.controller.round("team", "demo")

    @property
    def status(self) -> MimoPipelineStatus:
        return MimoPipelineStatus.model_validate(self.cluster.pipeline("demo").get("status") or {})

    def state(self, stage: str) -> str:
        return str(self.status.stage(stage).state)

    def condition(self, kind: str) -> str:
        return next((c.message for c in self.status.conditions if c.type == kind), "")

    def names(self) -> list[str]:
        return [leaf["metadata"]["name"] for leaf in self.cluster.leaves()]

    def start(self, leaf: str, num_pods: int = 1) -> Process:
        self.rounds()
        [process] = self.cluster.start_pods(leaf, num_pods)
        self.rounds(1)
        return process

    def succeed(self, leaf: str) -> None:
        process = self.start(leaf)
        process.publish()
        process.end(0)
        self.rounds()


def test_a_pipeline_runs_from_stage_to_stage(world: World) -> None:
    world.submit()
    for leaf in ("demo-base-1", "demo-projector-warmup-1", "demo-finalize-1"):
        world.succeed(leaf)
    assert world.status.phase == "Succeeded"
    assert [s.state for s in world.status.stages] == ["Succeeded"] * 3
    assert world.cluster.violations == []
    assert world.cluster.leaf("demo-projector-warmup-1")["kind"] == "PyTorchJob"


def test_the_images_of_the_start_stay_when_the_operator_brings_others(world: World) -> None:
    world.submit()
    world.rounds()
    containers = world.cluster.leaf("demo-base-1")["spec"]["template"]["spec"]["containers"]
    # Frozen as :1 at the start; the settings say :2.
    assert containers[0]["image"] == "registry/trainer:1"


def test_the_image_that_an_attempt_runs_is_in_its_environment_and_by_digest_in_the_status(world: World) -> None:
    world.submit()
    process = world.start("demo-base-1")
    [container] = world.cluster.leaf("demo-base-1")["spec"]["template"]["spec"]["containers"]
    assert {e["name"]: e.get("value") for e in container["env"]}["MIMO_IMAGE"] == "registry/trainer:1"
    ran = "registry/trainer@sha256:1a"
    process.pods[0]["status"]["containerStatuses"] = [{"name": "stage", "imageID": ran}]
    world.rounds(1)
    assert world.status.stage("base").image_id == ran
    process.publish()
    process.end(0)
    world.rounds(1)
    # The pod has ended and is forgotten; what it ran stays known.
    assert (world.state("base"), world.status.stage("base").image_id) == ("Succeeded", ran)


def test_the_next_attempt_does_not_inherit_the_image_of_the_former(world: World) -> None:
    world.submit()
    process = world.start("demo-base-1")
    process.pods[0]["status"]["containerStatuses"] = [{"name": "stage", "imageID": "r@sha256:1a"}]
    world.rounds(1)
    process.end(1)
    world.rounds(1)
    world.cluster.wait(10)
    world.rounds()
    assert (world.status.stage("base").attempt, world.status.stage("base").image_id) == (2, "")


def test_the_store_of_the_start_stays_when_the_operator_brings_another(world: World, tmp_path: Path) -> None:
    world.submit()
    process = world.start("demo-base-1")
    other = tmp_path / "other"
    other.mkdir()
    world.restart(uri=other.as_uri())
    process.publish()
    process.end(0)
    world.rounds()
    assert world.state("base") == "Succeeded"
    master = world.cluster.leaf("demo-projector-warmup-1")["spec"]["pytorchReplicaSpecs"]["Master"]
    [container] = master["template"]["spec"]["containers"]
    env = {e["name"]: e.get("value", "") for e in container["env"]}
    assert env["MIMO_OUTPUT"].startswith(f"{world.uri}/runs/")
    assert list(other.iterdir()) == []


def test_a_finished_pipeline_is_left_alone(world: World) -> None:
    world.submit()
    for leaf in ("demo-base-1", "demo-projector-warmup-1", "demo-finalize-1"):
        world.succeed(leaf)
    before = world.cluster.num_writes
    world.rounds(3)
    assert world.cluster.num_writes == before


def test_each_transition_is_one_event(world: World) -> None:
    world.submit()
    world.succeed("demo-base-1")
    reasons = [(e["action"], e["reason"]) for e in world.cluster.events if e["action"] == "base"]
    assert reasons == [("base", "Started"), ("base", "Completed")]


def test_a_wrong_configuration_fails_at_once_with_the_message(world: World) -> None:
    world.submit()
    world.start("demo-base-1").end(2, reason="ConfigError", message="model.text.hidden: unknown key")
    world.rounds()
    stage = world.status.stage("base")
    assert (stage.state, stage.exit_code, stage.attempt) == ("Failed", 2, 1)
    assert stage.message == "model.text.hidden: unknown key"


def test_a_failure_is_tried_again_after_its_backoff_only(world: World) -> None:
    world.submit()
    world.start("demo-base-1").end(1, message="disk full")
    world.rounds()
    assert world.names() == ["demo-base-1"]
    world.cluster.wait(6)
    world.rounds()
    assert world.names() == ["demo-base-1", "demo-base-2"]


def test_the_next_attempt_waits_until_pods_of_the_former_are_gone(world: World) -> None:
    """A deleted pod makes a PyTorchJob Failed at once, while the pod still saves."""
    world.submit()
    world.succeed("demo-base-1")
    process = world.start("demo-projector-warmup-1", num_pods=2)
    process.save(3)
    world.cluster._delete_pod(process.pods[1], None)
    process.finish_leaf(succeeded=False)
    world.rounds()
    assert "demo-projector-warmup-2" not in world.names()
    assert world.status.stage("projector-warmup").reason == "Evicting"
    process.end(75)
    world.rounds()
    stage = world.status.stage("projector-warmup")
    assert (stage.attempt, stage.failures, stage.resume_step) == (2, 0, 3)
    assert world.cluster.violations == []


def test_an_eviction_is_free_even_if_the_operator_restarts_and_the_pods_vanish(world: World) -> None:
    world.submit()
    process = world.start("demo-base-1")
    world.cluster._delete_pod(process.pods[0], None)
    world.rounds(1)
    world.restart()
    # Killed without an exit record; pods and job are removed by somebody.
    for pod in process.pods:
        del world.cluster.objects["Pod", "team", pod["metadata"]["name"]]
    del world.cluster.objects["Job", "team", "demo-base-1"]
    world.rounds()
    stage = world.status.stage("base")
    assert (stage.attempt, stage.failures) == (2, 0)
    assert stage.last_failure is not None
    verdict = read_verdict(world.cluster.store, process.prefix)
    assert verdict is not None
    assert (verdict.state, verdict.reason, verdict.message) == ("Killed", "Evicted", stage.last_failure.message)


def test_words_that_were_told_stay_although_the_operator_died_and_forgot_the_pods(world: World) -> None:
    """It died between verdict and status; meanwhile nothing is left of the eviction."""
    world.submit()
    process = world.start("demo-base-1")
    told = AttemptVerdict(state=AttemptEnd.KILLED, reason="Evicted", message="its pod was evicted")
    conclude_attempt(world.cluster.store, process.prefix, told)
    world.restart()
    process.end(1, message="connection closed by peer")
    world.rounds()
    failure = world.status.stage("base").last_failure
    assert failure is not None
    assert (failure.reason, failure.message) == (told.reason, told.message)
    assert read_verdict(world.cluster.store, process.prefix) == told


def test_a_verdict_that_cannot_be_written_lets_no_next_attempt_start(world: World, monkeypatch) -> None:
    world.submit()
    process = world.start("demo-base-1")
    process.end(75)
    put = LocalStore.put_bytes

    def refuse(self: LocalStore, key: str, *arguments: Any, **named: Any) -> str:
        if key.endswith("verdict.json"):
            raise StorageError("no answer")
        return put(self, key, *arguments, **named)

    with monkeypatch.context() as patched:
        patched.setattr(LocalStore, "put_bytes", refuse)
        with pytest.raises(StorageError):
            world.rounds()
    assert world.names() == ["demo-base-1"]
    world.rounds()
    assert world.names() == ["demo-base-1", "demo-base-2"]
    assert read_verdict(world.cluster.store, process.prefix) is not None


def test_a_failing_pod_whose_peers_are_cleaned_up_counts(world: World) -> None:
    world.submit()
    world.succeed("demo-base-1")
    process = world.start("demo-projector-warmup-1", num_pods=2)
    process.pods[1]["status"] = {
        "phase": "Failed",
        "containerStatuses": [{"state": {"terminated": {"exitCode": 1, "finishedAt": "2026-01-01T12:00:00Z"}}}],
    }
    world.rounds(1)
    process.finish_leaf(succeeded=False)
    world.cluster._delete_pod(process.pods[0], None)
    world.rounds(1)
    del world.cluster.objects["Pod", "team", process.pods[0]["metadata"]["name"]]
    world.rounds()
    stage = world.status.stage("projector-warmup")
    assert (stage.state, stage.failures, stage.exit_code) == ("Retrying", 1, 1)


def test_an_attempt_that_published_succeeds_whatever_its_pods_exit_with(world: World) -> None:
    world.submit()
    process = world.start("demo-base-1")
    process.publish()
    process.end(75)
    world.rounds()
    assert world.state("base") == "Succeeded"


def test_success_without_a_manifest_is_a_failure(world: World) -> None:
    world.submit()
    world.start("demo-base-1").end(0)
    world.rounds()
    assert world.status.stage("base").reason == "NoManifest"


def test_suspend_deletes_the_job_and_going_on_is_a_free_attempt(world: World) -> None:
    world.submit()
    process = world.start("demo-base-1")
    world.edit(suspend=True)
    world.rounds()
    assert "deletionTimestamp" in world.cluster.leaf("demo-base-1")["metadata"]
    process.save(7)
    process.end(75)
    world.rounds()
    assert (world.state("base"), str(world.status.phase)) == ("Suspended", "Suspended")
    world.edit(suspend=False)
    world.rounds()
    stage = world.status.stage("base")
    assert (stage.attempt, stage.failures, stage.resume_step) == (2, 0, 7)


def test_a_running_attempt_is_not_killed_within_the_grace_period_of_its_pods(world: World) -> None:
    world.submit()
    process = world.start("demo-base-1")
    for pod in process.pods:
        pod["spec"]["terminationGracePeriodSeconds"] = 900
    world.edit(suspend=True)
    world.rounds()
    world.cluster.wait(600)
    world.rounds()
    assert process.pods, "the pod was killed while it may save"
    world.cluster.wait(400)
    world.rounds()
    assert process.pods == []


def test_cancel_and_retry_work_as_on_one_machine(world: World) -> None:
    world.submit()
    world.succeed("demo-base-1")
    world.start("demo-projector-warmup-1").end(2)
    world.succeed("demo-finalize-1")
    assert world.status.phase == "Failed"
    world.edit(retry={"from": "projector-warmup", "nonce": "1"})
    world.succeed("demo-projector-warmup-2")
    world.succeed("demo-finalize-2")
    assert world.status.phase == "Succeeded"
    assert world.status.stage("base").attempt == 1


def test_manual_approval_is_bound_to_the_key(world: World) -> None:
    stages = [{**_STAGES[0], "approval": "manual"}, *_STAGES[1:]]
    world.submit(stages=stages)
    world.succeed("demo-base-1")
    assert world.state("base") == "AwaitingApproval"
    world.edit(approvals=[{"stage": "base", "key": world.status.stage("base").key}])
    world.rounds()
    assert world.state("base") == "Succeeded"


def test_the_same_work_in_another_pipeline_is_reused(world: World) -> None:
    world.submit()
    world.succeed("demo-base-1")
    world.cluster.put_pipeline("second", world.spec)
    for _ in range(3):
        world.controller.round("team", "second")
    status = MimoPipelineStatus.model_validate(world.cluster.pipeline("second")["status"])
    assert status.stage("base").reused
    assert world.cluster.leaf("second-base-1") is None


def test_an_output_that_was_deleted_meanwhile_is_made_again_and_found_again(world: World) -> None:
    """By an operator that has seen it: it runs for months."""
    world.submit()
    world.succeed("demo-base-1")
    world.rounds()
    for item in world.cluster.store.list("runs"):
        world.cluster.store.delete(item.key)
    world.cluster.put_pipeline("second", world.spec)
    for _ in range(3):
        world.controller.round("team", "second")
    assert world.cluster.leaf("second-base-1") is not None
    [process] = world.cluster.start_pods("second-base-1")
    process.publish()
    process.end(0)
    for _ in range(3):
        world.controller.round("team", "second")
    world.cluster.put_pipeline("third", world.spec)
    for _ in range(3):
        world.controller.round("team", "third")
    status = MimoPipelineStatus.model_validate(world.cluster.pipeline("third")["status"])
    assert (status.stage("base").reused, status.stage("base").output_uri) == (
        True,
        world.cluster.store.uri(process.prefix),
    )


def test_finished_jobs_go_after_the_ttl(world: World) -> None:
    world.submit(ttlSecondsAfterFinished=60)
    for leaf in ("demo-base-1", "demo-projector-warmup-1", "demo-finalize-1"):
        world.succeed(leaf)
    assert len(world.names()) == 3
    world.cluster.wait(61)
    world.rounds()
    assert world.names() == []
    assert world.status.phase == "Succeeded"


def test_a_missing_backend_is_a_condition_and_the_rest_goes_on(world: World) -> None:
    world.cluster.served.remove(PYTORCH_JOBS)
    world.submit()
    world.succeed("demo-base-1")
    assert "kubectl apply --server-side -k" in world.condition("BackendUnavailable")
    assert world.status.stage("projector-warmup").attempt == 0
    world.cluster.served.add(PYTORCH_JOBS)
    world.cluster.wait(20)
    world.rounds()
    assert world.condition("BackendUnavailable") == ""
    assert world.state("projector-warmup") == "Running"


def test_a_webhook_that_does_not_answer_fails_no_stage(world: World) -> None:
    world.submit()
    world.succeed("demo-base-1")
    # The first round after it created the attempt already: start anew at the moment of creation.
    assert world.names()[-1] == "demo-projector-warmup-1"
    world.submit()
    error = ApiError(500, "InternalError", 'failed calling webhook "validator": connection refused')
    process = world.start("demo-projector-warmup-1")
    world.cluster.failures.append(("create", "PyTorchJob", error))
    process.end(75)
    with pytest.raises(ApiError, match="failed calling webhook"):
        world.rounds()
    assert world.status.stage("projector-warmup").failures == 0
    world.rounds()
    assert world.status.stage("projector-warmup").attempt == 2


def test_a_refused_job_is_a_condition_that_names_the_stage(world: World) -> None:
    error = ApiError(403, "Forbidden", "exceeded quota: team")
    world.cluster.failures.append(("create", "Job", error))
    world.submit()
    world.rounds(2)
    assert world.condition("JobRefused").startswith("stage base: exceeded quota: team")
    assert world.status.stage("base").attempt == 0
    world.rounds(1)
    assert world.condition("JobRefused") == ""
    assert world.state("base") == "Running"


def test_a_status_that_somebody_wrote_meanwhile_is_not_overwritten(world: World) -> None:
    world.submit()
    world.rounds(1)
    world.cluster.failures.append(("replace", "MimoPipeline", ApiError(409, "Conflict", "modified")))
    with pytest.raises(ApiError) as caught:
        world.rounds()
    assert caught.value.is_conflict
    world.rounds()
    assert world.names() == ["demo-base-1"]


def test_a_crd_that_does_not_know_a_field_of_the_status_is_named_and_backed_off_from(world: World) -> None:
    world.submit()
    text = 'strict decoding error: unknown field "status.stages[0].lastFailure"'
    world.cluster.failures.append(("replace", "MimoPipeline", ApiError(400, "BadRequest", text)))
    with pytest.raises(ApiError, match=r"lastFailure.*is the CRD older than this operator\? .*crd\.yaml") as caught:
        world.rounds(1)
    # A conflict would be tried again at once.
    assert not caught.value.is_conflict
    world.rounds()
    assert world.state("base") == "Running"


def test_pods_of_an_attempt_that_the_status_never_knew_are_found_and_ended(world: World) -> None:
    """The operator died after it created the job, and somebody deleted the job but not its pods."""
    world.submit()
    world.rounds(1)
    world.cluster.die_after = 2
    with pytest.raises(OperatorDiedError):
        world.rounds(1)
    world.restart()
    world.cluster.die_after = None
    [process] = world.cluster.start_pods("demo-base-1")
    del world.cluster.objects["Job", "team", "demo-base-1"]
    world.rounds()
    assert world.status.stage("base").attempt == 1
    assert all("deletionTimestamp" in pod["metadata"] for pod in process.pods)
    assert world.cluster.leaf("demo-base-2") is None
    process.end(75)
    world.succeed("demo-base-2")
    assert world.state("base") == "Succeeded"
    assert world.cluster.violations == []


def test_pods_of_a_deleted_pipeline_of_the_same_name_are_waited_for(world: World) -> None:
    world.submit()
    world.rounds()
    [process] = world.cluster.start_pods("demo-base-1")
    del world.cluster.objects["MimoPipeline", "team", "demo"]
    del world.cluster.objects["Job", "team", "demo-base-1"]
    world.submit()
    world.rounds()
    assert world.cluster.leaf("demo-base-1") is None
    process.end(0)
    world.succeed("demo-base-1")
    assert world.state("base") == "Succeeded"
    assert world.cluster.violations == []


def test_an_attempt_is_not_judged_by_pods_of_a_deleted_pipeline_of_the_same_name(world: World) -> None:
    """Deleted and applied again at once: the operator never saw that it was away, and the old pod is still listed."""
    world.submit()
    old = world.start("demo-base-1")
    old.end(2, reason="ConfigError", message="old mistake")
    world.rounds()
    assert world.status.stage("base").exit_code == 2
    del world.cluster.objects["MimoPipeline", "team", "demo"]
    del world.cluster.objects["Job", "team", "demo-base-1"]
    left = world.cluster.objects.pop(("Pod", "team", "demo-base-1-0"))
    left["metadata"] |= {"name": "old", "leaf": "deleted"}
    world.cluster.objects["Pod", "team", "old"] = left
    world.submit()
    world.start("demo-base-1").end(1, reason="DiskFull", message="no space left")
    world.rounds(1)
    stage = world.status.stage("base")
    assert (stage.state, stage.exit_code, stage.reason, stage.message) == ("Retrying", 1, "DiskFull", "no space left")


def test_a_success_does_not_show_the_exit_code_of_a_pod_that_vanished_with_an_earlier_pipeline(world: World) -> None:
    world.submit()
    world.start("demo-base-1").end(2)
    world.rounds(1)
    del world.cluster.objects["MimoPipeline", "team", "demo"]
    del world.cluster.objects["Job", "team", "demo-base-1"]
    del world.cluster.objects["Pod", "team", "demo-base-1-0"]
    world.submit()
    world.succeed("demo-base-1")
    stage = world.status.stage("base")
    assert (stage.state, stage.exit_code) == ("Succeeded", 0)


def test_an_old_pod_that_was_evicted_or_ran_out_of_memory_excuses_no_new_attempt(world: World) -> None:
    world.submit()
    old = world.start("demo-base-1")
    old.pods[0]["status"]["conditions"] = [{"type": "DisruptionTarget", "status": "True"}]
    world.rounds(1)
    del world.cluster.objects["MimoPipeline", "team", "demo"]
    del world.cluster.objects["Job", "team", "demo-base-1"]
    del world.cluster.objects["Pod", "team", "demo-base-1-0"]
    world.submit()
    world.start("demo-base-1").end(1)
    world.rounds(1)
    stage = world.status.stage("base")
    assert (stage.state, stage.reason, stage.failures) == ("Retrying", "Failed", 1)


def test_a_job_of_a_deleted_pipeline_of_the_same_name_is_not_adopted(world: World) -> None:
    world.submit()
    world.rounds()
    del world.cluster.objects["MimoPipeline", "team", "demo"]
    world.controller.round("team", "demo")
    world.submit()
    world.rounds()
    # The old job has the wanted name and another owner.
    assert "is not this attempt's" in world.condition("JobRefused")
    del world.cluster.objects["Job", "team", "demo-base-1"]
    world.succeed("demo-base-1")
    assert world.state("base") == "Succeeded"


def test_pods_that_are_refused_are_told_in_the_message_of_the_stage(world: World) -> None:
    world.submit()
    world.succeed("demo-base-1")
    # The master is admitted, the worker with its init container is not.
    world.start("demo-projector-warmup-1")
    why = (
        'Error creating: pods "demo-projector-warmup-1-worker-0" is forbidden: violates PodSecurity "restricted:latest"'
    )
    world.cluster.refuse_pods("demo-projector-warmup-1", why, reason="FailedCreatePod")
    world.rounds(1)
    stage = world.status.stage("projector-warmup")
    assert (stage.state, stage.reason) == ("Running", "FailedCreate")
    assert stage.message == f"pods of PyTorchJob demo-projector-warmup-1 are refused: {why}"
    assert why in world.status.message


def test_a_refusal_before_the_newest_pod_explains_nothing(world: World) -> None:
    world.submit()
    world.rounds()
    world.cluster.refuse_pods("demo-base-1", "exceeded quota")
    world.rounds(1)
    assert world.status.stage("base").reason == "FailedCreate"
    world.cluster.wait(30)
    [process] = world.cluster.start_pods("demo-base-1")
    process.pods[0]["metadata"]["creationTimestamp"] = "2026-01-01T12:00:30Z"
    world.rounds(1)
    assert (world.status.stage("base").reason, world.status.stage("base").message) == ("Started", "")


def test_a_refusal_of_another_job_is_not_told(world: World) -> None:
    world.submit()
    world.rounds()
    world.cluster.refuse_pods("demo-base-1", "exceeded quota")
    [event] = [o for (kind, _, _), o in world.cluster.objects.items() if kind == "Event"]
    event["regarding"]["name"] = "demo-base-10"
    world.rounds(1)
    assert world.status.stage("base").reason == "Started"


def test_events_that_cannot_be_read_stop_nothing(world: World) -> None:
    world.submit()
    world.rounds()
    world.cluster.failures.append(("list", "Event", ApiError(403, "Forbidden", "events is forbidden")))
    world.succeed("demo-base-1")
    assert world.state("base") == "Succeeded"


def test_a_missing_secret_is_a_condition(world: World) -> None:
    world.submit()
    process = world.start("demo-base-1")
    waiting = {"reason": "CreateContainerConfigError", "message": 'secret "store" not found'}
    process.pods[0]["status"] = {"phase": "Pending", "containerStatuses": [{"state": {"waiting": waiting}}]}
    world.rounds(1)
    assert 'secret "store" not found' in world.condition("SecretMissing")
    assert world.status.stage("base").reason == "CreateContainerConfigError"


def test_a_pod_on_a_lost_node_is_revoked_and_not_waited_for(world: World) -> None:
    world.submit()
    process = world.start("demo-base-1")
    process.pods[0]["status"]["conditions"] = [
        {"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T12:00:00Z"},
        {"type": "ContainersReady", "status": "True"},
    ]
    world.cluster.wait(200)
    world.rounds()
    assert world.status.stage("base").attempt == 1
    world.cluster.wait(150)
    world.rounds()
    assert world.cluster.store.exists(f"{process.prefix}/revoked.json")
    stage = world.status.stage("base")
    assert (stage.attempt, stage.failures) == (2, 0)
    assert process.pods, "the pod object was removed from under a process that may still run"


def test_a_spec_that_the_types_refuse_is_not_a_crash(world: World) -> None:
    world.submit(maxParallelStages=0)
    world.rounds()
    assert "spec.maxParallelStages" in world.condition("Valid")


@pytest.mark.parametrize("die_after", range(14))
def test_the_operator_may_die_between_any_two_writes(world: World, die_after: int) -> None:
    world.submit()
    world.cluster.die_after = die_after
    for leaf in ("demo-base-1", "demo-projector-warmup-1", "demo-finalize-1"):
        _survive(world)
        process = world.cluster.start_pods(leaf)[0]
        _survive(world)
        process.publish()
        process.end(0)
        _survive(world)
    assert world.status.phase == "Succeeded"
    assert [s.attempt for s in world.status.stages] == [1, 1, 1]
    assert world.cluster.violations == []


def _survive(world: World) -> None:
    for _ in range(5):
        try:
            world.rounds(1)
        except OperatorDiedError:
            world.cluster.die_after = None
            world.restart()


def test_a_store_without_answer_is_a_condition_and_nothing_is_judged(world: World, monkeypatch) -> None:
    from mimo_vl.errors import StorageError
    from mimo_vl.storage.local import LocalStore

    world.submit()
    process = world.start("demo-base-1")

    def fail(*_: Any) -> bool:
        raise StorageError("s3://mimo: the server cannot be reached")

    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "exists", fail)
        process.end(1)
        with pytest.raises(StorageError):
            world.rounds()
        assert "cannot be reached" in world.condition("StoreUnavailable")
        assert world.state("base") == "Running"
    world.rounds()
    assert world.condition("StoreUnavailable") == ""
    assert world.state("base") == "Retrying"


def test_problems_of_the_configuration_are_all_in_the_condition(world: World, monkeypatch) -> None:
    problems = ("stages.x: unknown key", "model.y: got 1")
    monkeypatch.setattr(controller_module, "compose_runtime", lambda *_: Composed(runtime=None, problems=problems))
    world.submit()
    world.rounds()
    assert world.condition("Valid") == "stages.x: unknown key\nmodel.y: got 1"
    assert world.names() == []


def test_settings_of_pods_that_contradict_each_other_name_the_stage(world: World, monkeypatch) -> None:
    from operators.mimo_pipeline.kubernetes import apply

    def refuse(*_: Any) -> None:
        raise ConfigError("pod.requests.cpu: got 2, wanted at most limits.cpu = 1")

    monkeypatch.setattr(apply, "build_leaf", refuse)
    world.submit()
    world.rounds()
    assert "stage base: pod.requests.cpu" in world.condition("JobRefused")
