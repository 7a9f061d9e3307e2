from __future__ import annotations

import pytest

from jobs.runtime import set_ray_environment
from mimo_vl.errors import ConfigError
from operators.mimo_pipeline.api import PodSettings, RayGroup, RayWorkload
from operators.mimo_pipeline.builders.rayjob import build_rayjob
from operators.mimo_pipeline.naming import MAX_ATTEMPT, MAX_PIPELINE_PLUS_STAGE, leaf_name
from tests.fakes.clusters import RAY, STAGES, attempt_of, facts_of

_MAX_RAYJOB_NAME = 47


def _spec(profile="tiny", **workload):
    stage = RAY.model_copy(update={"ray": RayWorkload(**workload)}) if workload else STAGES[profile]["rayjob"]
    return build_rayjob(attempt_of(stage), stage, facts_of(profile))["spec"]


def _pod(group):
    return group["template"]["spec"]


def _env(group):
    return {e["name"]: e.get("value") for e in _pod(group)["containers"][0]["env"]}


def _nodes(spec):
    cluster = spec["rayClusterSpec"]
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


def test_the_longest_name_allowed_by_the_spec_is_one_that_kuberay_takes() -> None:
    pipeline = "p" * (MAX_PIPELINE_PLUS_STAGE - len("morl"))
    assert len(leaf_name(pipeline, "morl", MAX_ATTEMPT)) == _MAX_RAYJOB_NAME


def test_losing_the_head_ends_the_attempt_instead_of_running_the_driver_again() -> None:
    job = build_rayjob(attempt_of(RAY), RAY, facts_of())
    assert job["metadata"]["annotations"]["ray.io/disable-provisioned-head-restart"] == "true"
    spec = job["spec"]
    assert (spec["submissionMode"], spec["submitterConfig"], spec["backoffLimit"]) == (
        "K8sJobMode",
        {"backoffLimit": 0},
        0,
    )


def test_the_cluster_goes_with_the_job() -> None:
    spec = _spec()
    assert spec["shutdownAfterJobFinishes"] is True
    assert not {"clusterSelector", "deletionStrategy", "runtimeEnvYAML"} & set(spec)


def test_the_version_that_turns_tokens_and_http_probes_on_is_said() -> None:
    cluster = _spec()["rayClusterSpec"]
    assert cluster["rayVersion"] == "2.60.0"
    assert cluster["authOptions"] == {"mode": "token"}


def test_each_group_offers_the_resource_of_its_name_and_the_head_no_core() -> None:
    head, *groups = _nodes(_spec())
    assert head["resources"] == {"CPU": "0", "head": "1"}
    assert {g["groupName"]: g["resources"] for g in groups} == {
        name: {"CPU": "1", name: "1"} for name in ("trainer", "rollout", "reward")
    }


def test_gpu_groups_offer_their_gpus_and_cores_as_strings() -> None:
    _, trainer, rollout, _ = _nodes(_spec("mimo_vl_7b"))
    assert trainer["resources"] == {"CPU": "96", "trainer": "1", "GPU": "8"}
    assert (trainer["replicas"], rollout["replicas"]) == (4, 2)


def test_groups_have_a_fixed_size() -> None:
    _, *groups = _nodes(_spec(rollout=RayGroup(replicas=5)))
    sizes = {g["groupName"]: (g["minReplicas"], g["replicas"], g["maxReplicas"]) for g in groups}
    assert sizes == {"trainer": (1, 1, 1), "rollout": (5, 5, 5), "reward": (1, 1, 1)}


def test_start_parameters_and_resources_are_not_mixed() -> None:
    for node in _nodes(_spec("mimo_vl_7b")):
        assert not {"num-cpus", "num-gpus", "memory", "resources"} & set(node["rayStartParams"])
        assert all(isinstance(value, str) for value in node["rayStartParams"].values())
        assert node["rayStartParams"]["disable-usage-stats"] == "true"
    assert _nodes(_spec())[0]["rayStartParams"]["dashboard-host"] == "0.0.0.0"


def test_the_object_store_fits_into_shared_memory_and_that_into_the_limit() -> None:
    for node in _nodes(_spec()):
        shm = next(v for v in _pod(node)["volumes"] if v["name"] == "shm")
        assert shm["emptyDir"] == {"medium": "Memory", "sizeLimit": "256Mi"}
        # three quarters of 256 Mi
        assert node["rayStartParams"]["object-store-memory"] == str(192 << 20)
        assert _pod(node)["containers"][0]["resources"]["limits"]["memory"] == "3Gi"


def test_shared_memory_too_small_for_an_object_store_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"^stages\[morl\]\.ray\.reward\.pod\.shmSize: got 100Mi, wanted at least 128Mi"
    ):
        _spec(reward=RayGroup(pod=PodSettings(shm_size="100Mi")))
    assert _spec(reward=RayGroup(pod=PodSettings(shm_size="128Mi")))


def test_the_driver_gets_the_environment_of_the_stage_from_the_head() -> None:
    head, *groups = _nodes(_spec())
    assert _env(head)["MIMO_DRIVER_PID_FILE"] == "/tmp/mimo/driver.pid"
    assert _env(head)["MIMO_STAGE"] == "morl"
    for group in groups:
        env = _env(group)
        assert "MIMO_DRIVER_PID_FILE" not in env
        assert {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "MIMO_SCRATCH", "MIMO_CONFIG"} <= set(env)
        assert "/etc/mimo" in [m["mountPath"] for m in _pod(group)["containers"][0]["volumeMounts"]]


def test_the_ends_of_a_pod_come_in_order() -> None:
    head, *groups = _nodes(_spec(head=PodSettings(termination_grace_period_seconds=300)))
    ranks_s, job_s = int(_env(head)["MIMO_GRACE_S"]), int(_env(head)["RAY_JOB_STOP_WAIT_TIME_S"])
    assert ranks_s < job_s < _pod(head)["terminationGracePeriodSeconds"] == 300
    # What the actors hold is saved by then.
    assert [_pod(g)["terminationGracePeriodSeconds"] for g in groups] == [300, 300, 300]


def test_the_head_ends_its_driver_and_the_workers_wait_for_the_head() -> None:
    head, *groups = _nodes(_spec())
    for node, words in ((head, "/tmp/mimo/driver.pid"), *((g, "/proc/net/tcp") for g in groups)):
        shell, option, script = _pod(node)["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
        assert (shell, option) == ("/bin/sh", "-c")
        assert words in script
        assert "ray start" in script
        # Ray itself does not linger after that.
        assert _env(node)["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"] == "0"


def test_ray_is_the_first_container_and_no_pod_is_restarted_in_place() -> None:
    spec = _spec()
    for node in _nodes(spec):
        assert _pod(node)["containers"][0]["name"] == "ray"
        assert "command" not in _pod(node)["containers"][0]
        assert _pod(node)["restartPolicy"] == "Never"
    assert spec["submitterPodTemplate"]["spec"]["restartPolicy"] == "Never"


def test_the_submitter_is_small_and_knows_no_secret() -> None:
    (container,) = _spec()["submitterPodTemplate"]["spec"]["containers"]
    assert container["resources"]["requests"] == {"cpu": "50m", "memory": "128Mi"}
    assert all("valueFrom" not in e for e in container["env"])
    assert [m["mountPath"] for m in container["volumeMounts"]] == ["/tmp", "/var/lib/mimo-devcluster/env"]


def test_accounts_differ_between_head_and_workers() -> None:
    head, *groups = _nodes(_spec())
    assert _pod(head)["serviceAccountName"] == "mimo-ray-head"
    assert {_pod(g)["serviceAccountName"] for g in groups} == {"mimo-ray-worker"}


def test_a_tuning_variable_cannot_replace_what_the_driver_is_given() -> None:
    head = _nodes(_spec(head=PodSettings(env={"RAY_JOB_STOP_WAIT_TIME_S": "1", "RAY_DEDUP_LOGS": "0"})))[0]
    assert _env(head)["RAY_JOB_STOP_WAIT_TIME_S"] == "85"
    assert _env(head)["RAY_DEDUP_LOGS"] == "0"


def test_ray_on_a_cluster_is_set_as_on_one_machine(monkeypatch) -> None:
    local: dict[str, str] = {}
    monkeypatch.setattr("os.environ", local)
    set_ray_environment()
    wanted = {name: value for name, value in local.items() if not name.startswith("RAY_AUTH_")}
    assert len(wanted) > 3
    for node in _nodes(_spec()):
        assert wanted.items() <= _env(node).items()
