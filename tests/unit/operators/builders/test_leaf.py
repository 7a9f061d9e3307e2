"""What is true of the objects of every kind."""

from __future__ import annotations

import copy
import re
from itertools import pairwise

import pytest

from operators.mimo_pipeline.api import PodSettings, PytorchWorkload
from operators.mimo_pipeline.builders.leaf import build_leaf
from tests.fakes.clusters import PYTORCH, STAGES, attempt_of, facts_of
from tests.fakes.pod_security import pod_templates, restricted_violations

CASES = [pytest.param(p, s, id=f"{p}-{kind}") for p, stages in STAGES.items() for kind, s in stages.items()]
# master and worker; head, three groups and the submitter
_NUM_TEMPLATES = {"Job": 1, "PyTorchJob": 2, "TrainJob": 1, "RayJob": 5}


def _templates(profile, stage):
    leaf = build_leaf(attempt_of(stage), stage, facts_of(profile))
    found = dict(pod_templates(leaf))
    assert len(found) == _NUM_TEMPLATES[leaf["kind"]]
    return found


def _environment(container):
    return {e["name"]: e.get("value") for e in container["env"]}


def test_the_kind_follows_the_workload() -> None:
    kinds = {kind: build_leaf(attempt_of(s), s, facts_of())["kind"] for kind, s in STAGES["tiny"].items()}
    assert kinds == {"job": "Job", "pytorchjob": "PyTorchJob", "trainjob": "TrainJob", "rayjob": "RayJob"}


@pytest.mark.parametrize(("profile", "stage"), CASES)
def test_building_twice_gives_the_same(profile, stage) -> None:
    facts, create = facts_of(profile), attempt_of(stage)
    first = build_leaf(create, stage, facts)
    kept = copy.deepcopy(first)
    assert build_leaf(create, stage, facts) == kept
    assert first == kept


@pytest.mark.parametrize(("profile", "stage"), CASES)
def test_the_leaf_is_named_labelled_and_owned(profile, stage) -> None:
    metadata = build_leaf(attempt_of(stage), stage, facts_of(profile))["metadata"]
    assert (metadata["name"], metadata["namespace"]) == (f"demo-{stage.name}-2", "train")
    queue = {"kueue.x-k8s.io/queue-name": "training"} if profile == "mimo_vl_7b" else {}
    attempt = {"mimo.dev/pipeline": "demo", "mimo.dev/stage": stage.name, "mimo.dev/attempt": "2"}
    assert metadata["labels"] == attempt | {"mimo.dev/run": "0123abcd"} | queue
    assert metadata["annotations"]["mimo.dev/stage-key"] == "sha256:key"
    assert metadata["ownerReferences"] == [
        {
            "apiVersion": "mimo.dev/v1alpha1",
            "kind": "MimoPipeline",
            "name": "demo",
            "uid": "0123abcd-0000-4000-8000-000000000000",
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]


@pytest.mark.parametrize(("profile", "stage"), CASES)
def test_every_pod_can_be_found_by_the_labels_of_its_attempt(profile, stage) -> None:
    for where, template in _templates(profile, stage).items():
        labels = template["metadata"]["labels"]
        assert labels["mimo.dev/component"], where
        wanted = {"mimo.dev/pipeline": "demo", "mimo.dev/stage": stage.name, "mimo.dev/attempt": "2"}
        assert wanted.items() <= labels.items(), where


@pytest.mark.parametrize(("profile", "stage"), CASES)
def test_a_restricted_namespace_admits_every_pod(profile, stage) -> None:
    assert {w: v for w, t in _templates(profile, stage).items() if (v := restricted_violations(t))} == {}


@pytest.mark.parametrize(("profile", "stage"), CASES)
def test_no_pod_writes_its_root_file_system_or_has_a_token(profile, stage) -> None:
    for where, template in _templates(profile, stage).items():
        spec = template["spec"]
        if "runtimePatches" not in where:
            # Of a TrainJob the runtime says it.
            assert spec["automountServiceAccountToken"] is False, where
        assert spec["serviceAccountName"].startswith("mimo-"), where
        for container in spec["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True, where


@pytest.mark.parametrize(("profile", "stage"), CASES)
def test_the_autoscaler_leaves_every_pod_alone(profile, stage) -> None:
    for where, template in _templates(profile, stage).items():
        annotation = template["metadata"]["annotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict"]
        assert annotation == "false", where


@pytest.mark.parametrize(("profile", "stage"), CASES)
def test_no_object_owns_suspend_or_deletes_itself(profile, stage) -> None:
    leaf = build_leaf(attempt_of(stage), stage, facts_of(profile))
    assert not {"suspend", "ttlSecondsAfterFinished"} & _keys(leaf)


def _keys(value: object) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*map(_keys, value.values()))
    return set().union(*map(_keys, value)) if isinstance(value, list) else set()


@pytest.mark.parametrize(("profile", "stage"), CASES)
def test_no_environment_variable_comes_twice_and_no_secret_is_written(profile, stage) -> None:
    for where, template in _templates(profile, stage).items():
        for container in template["spec"]["containers"]:
            names = [variable["name"] for variable in container.get("env", [])]
            assert len(names) == len(set(names)), where
            for variable in container.get("env", []):
                is_secret = bool(re.search("KEY_ID|SECRET|TOKEN|PASSWORD", variable["name"]))
                assert is_secret == ("valueFrom" in variable), (where, variable["name"])


@pytest.mark.parametrize(("profile", "stage"), CASES)
def test_every_mount_has_its_volume_and_no_mount_hides_another(profile, stage) -> None:
    for where, template in _templates(profile, stage).items():
        names = [volume["name"] for volume in template["spec"]["volumes"]]
        assert len(names) == len(set(names)), where
        for container in template["spec"]["containers"]:
            mounts = container["volumeMounts"]
            assert {m["name"] for m in mounts} == set(names), where
            paths = sorted(m["mountPath"].rstrip("/") + "/" for m in mounts)
            assert not [b for a, b in pairwise(paths) if b.startswith(a)], where


@pytest.mark.parametrize(("profile", "stage"), CASES)
def test_arguments_hold_no_shell_character(profile, stage) -> None:
    leaf = build_leaf(attempt_of(stage), stage, facts_of(profile))
    spec = leaf["spec"]
    if leaf["kind"] == "RayJob":
        words = spec["entrypoint"].split(" ")
    elif leaf["kind"] == "TrainJob":
        words = spec["trainer"]["command"]
    else:
        words = next(iter(dict(pod_templates(leaf)).values()))["spec"]["containers"][0]["command"]
    assert words[:4] == ["python", "-m", "jobs.launch", "--nproc"]
    assert words[-2] == "--"
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", word) for word in words)


def test_tuning_variables_reach_the_processes() -> None:
    pod = PodSettings(env={"NCCL_DEBUG": "INFO"})
    stage = PYTORCH.model_copy(update={"pytorch": PytorchWorkload(num_nodes=2, pod=pod)})
    for template in _templates("tiny", stage).values():
        env = _environment(template["spec"]["containers"][0])
        assert (env["NCCL_DEBUG"], env["OMP_NUM_THREADS"]) == ("INFO", "1")


def test_the_number_of_threads_is_only_what_the_settings_say() -> None:
    facts = facts_of("tiny", pods={})
    template = next(iter(dict(pod_templates(build_leaf(attempt_of(PYTORCH), PYTORCH, facts))).values()))
    assert "OMP_NUM_THREADS" not in _environment(template["spec"]["containers"][0])


def test_deepspeed_is_told_that_there_is_no_gpu_and_only_then() -> None:
    for profile, accelerator in (("tiny", "cpu"), ("mimo_vl_7b", None)):
        for template in _templates(profile, STAGES[profile]["pytorchjob"]).values():
            assert _environment(template["spec"]["containers"][0]).get("DS_ACCELERATOR") == accelerator


def test_the_mounted_environment_comes_first_in_the_path() -> None:
    for where, template in _templates("tiny", STAGES["tiny"]["rayjob"]).items():
        (container,) = template["spec"]["containers"]
        assert _environment(container)["PATH"].startswith("/var/lib/mimo-devcluster/env/venv/bin:/"), where
        claim = next(v for v in template["spec"]["volumes"] if v["name"] == "environment")
        assert claim["persistentVolumeClaim"] == {"claimName": "mimo-environment", "readOnly": True}
    for template in _templates("mimo_vl_7b", STAGES["mimo_vl_7b"]["rayjob"]).values():
        # The image's own.
        assert "PATH" not in _environment(template["spec"]["containers"][0])


def test_the_authority_of_a_private_store_is_mounted_where_libraries_look() -> None:
    (template,) = _templates("mimo_vl_7b", STAGES["mimo_vl_7b"]["job"]).values()
    (container,) = template["spec"]["containers"]
    env = _environment(container)
    assert env["SSL_CERT_FILE"] == env["AWS_CA_BUNDLE"] == "/etc/mimo-ca/ca.crt"
    assert {"name": "store-ca", "mountPath": "/etc/mimo-ca", "readOnly": True} in container["volumeMounts"]


def test_pods_of_an_attempt_are_preferred_in_one_domain_never_required() -> None:
    for template in _templates("mimo_vl_7b", STAGES["mimo_vl_7b"]["pytorchjob"]).values():
        affinity = template["spec"]["affinity"]["podAffinity"]
        (term,) = affinity.pop("preferredDuringSchedulingIgnoredDuringExecution")
        assert affinity == {}
        assert term["podAffinityTerm"]["topologyKey"] == "topology.kubernetes.io/rack"
        selected = term["podAffinityTerm"]["labelSelector"]["matchLabels"]
        assert selected.items() <= template["metadata"]["labels"].items()
    for template in _templates("tiny", STAGES["tiny"]["pytorchjob"]).values():
        assert "affinity" not in template["spec"]


def test_placement_and_priority_reach_the_pod() -> None:
    for template in _templates("mimo_vl_7b", STAGES["mimo_vl_7b"]["pytorchjob"]).values():
        spec = template["spec"]
        assert spec["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
        assert spec["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}
        assert spec["priorityClassName"] == "training"
        assert spec["imagePullSecrets"] == [{"name": "registry"}]
        assert spec["terminationGracePeriodSeconds"] == 900
        scratch = next(v for v in spec["volumes"] if v["name"] == "scratch")
        assert scratch["emptyDir"] == {"sizeLimit": "2Ti"}
        shm = next(v for v in spec["volumes"] if v["name"] == "shm")
        assert shm["emptyDir"] == {"medium": "Memory", "sizeLimit": "64Gi"}
