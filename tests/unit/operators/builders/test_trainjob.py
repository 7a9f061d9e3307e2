from __future__ import annotations

from operators.mimo_pipeline.builders.pytorchjob import build_pytorchjob
from operators.mimo_pipeline.builders.trainjob import build_trainjob
from tests.fakes.clusters import STAGES, attempt_of, facts_of

_STAGE = STAGES["mimo_vl_7b"]["trainjob"]


def _spec():
    return build_trainjob(attempt_of(_STAGE), _STAGE, facts_of("mimo_vl_7b"))["spec"]


def _pod(spec):
    (patch,) = spec["runtimePatches"]
    (job,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    return job["template"]["spec"]["template"]["spec"]


def test_the_runtime_is_ours_and_patched_under_our_name() -> None:
    spec = _spec()
    assert spec["runtimeRef"] == {
        "apiGroup": "trainer.kubeflow.org",
        "kind": "ClusterTrainingRuntime",
        "name": "mimo-torch",
    }
    assert [patch["manager"] for patch in spec["runtimePatches"]] == ["mimo.dev/operator"]


def test_numbers_of_nodes_and_ranks_are_integers() -> None:
    trainer = _spec()["trainer"]
    assert (trainer["numNodes"], trainer["numProcPerNode"]) == (4, 8)


def test_the_environment_is_the_trainers_and_not_patched() -> None:
    spec = _spec()
    (container,) = _pod(spec)["containers"]
    assert set(container) == {"name", "volumeMounts", "securityContext"}
    assert container["name"] == "node"
    names = {e["name"] for e in spec["trainer"]["env"]}
    assert "MIMO_STAGE" in names
    # Admission refuses them.
    assert not {n for n in names if n.startswith("PET_")}


def test_only_fields_that_may_be_patched_are() -> None:
    allowed = {
        *("serviceAccountName", "volumes", "initContainers", "containers", "imagePullSecrets", "securityContext"),
        *("nodeSelector", "affinity", "tolerations", "schedulingGates", "terminationGracePeriodSeconds"),
    }
    assert set(_pod(_spec())) <= allowed


def test_the_trainer_is_that_of_the_pytorchjob() -> None:
    other = build_pytorchjob(attempt_of(_STAGE), _STAGE, facts_of("mimo_vl_7b"))
    template = other["spec"]["pytorchReplicaSpecs"]["Master"]["template"]["spec"]
    (container,) = template["containers"]
    spec = _spec()
    trainer, pod = spec["trainer"], _pod(spec)
    assert trainer["env"] == container["env"]
    assert trainer["command"] == container["command"]
    assert trainer["image"] == container["image"]
    assert trainer["resourcesPerNode"] == container["resources"]
    assert pod["volumes"] == template["volumes"]
    assert pod["containers"][0]["volumeMounts"] == container["volumeMounts"]
