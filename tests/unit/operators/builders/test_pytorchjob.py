from __future__ import annotations

import pytest

from operators.mimo_pipeline.api import PytorchWorkload
from operators.mimo_pipeline.builders.pytorchjob import build_pytorchjob
from tests.fakes.clusters import PYTORCH, STAGES, attempt_of, facts_of


def _spec(**workload):
    stage = PYTORCH.model_copy(update={"pytorch": PytorchWorkload(**workload)})
    return build_pytorchjob(attempt_of(stage), stage, facts_of())["spec"]


@pytest.mark.parametrize(("num_nodes", "replicas"), [(1, {"Master": 1}), (2, {"Master": 1, "Worker": 1})])
def test_one_node_is_the_master_and_the_others_are_workers(num_nodes, replicas) -> None:
    specs = _spec(num_nodes=num_nodes)["pytorchReplicaSpecs"]
    assert {role: s["replicas"] for role, s in specs.items()} == replicas
    assert {s["restartPolicy"] for s in specs.values()} == {"Never"}


def test_the_number_of_ranks_per_node_is_always_said_and_is_the_launchers() -> None:
    for number in (1, 8):
        spec = _spec(num_nodes=2, num_procs_per_node=number)
        assert spec["nprocPerNode"] == str(number)
        for replica in spec["pytorchReplicaSpecs"].values():
            command = replica["template"]["spec"]["containers"][0]["command"]
            assert command[3:5] == ["--nproc", str(number)]


def test_an_attempt_is_not_repeated_and_its_finished_pods_stay() -> None:
    assert _spec()["runPolicy"] == {"backoffLimit": 0, "cleanPodPolicy": "Running"}


def test_the_container_has_the_name_that_the_operator_looks_for_and_no_probe() -> None:
    for replica in _spec(num_nodes=2)["pytorchReplicaSpecs"].values():
        (container,) = replica["template"]["spec"]["containers"]
        assert container["name"] == "pytorch"
        assert not {"readinessProbe", "livenessProbe", "startupProbe"} & set(container)


def test_the_restart_policy_stands_in_one_place() -> None:
    for replica in _spec(num_nodes=2)["pytorchReplicaSpecs"].values():
        assert "restartPolicy" not in replica["template"]["spec"]


def test_what_the_operator_injects_is_not_written_by_us() -> None:
    for replica in _spec(num_nodes=2)["pytorchReplicaSpecs"].values():
        names = {e["name"] for e in replica["template"]["spec"]["containers"][0]["env"]}
        assert not {n for n in names if n.startswith(("PET_", "MASTER_")) or n in ("RANK", "WORLD_SIZE")}


def test_a_gpu_pod_requests_what_it_is_limited_to() -> None:
    stage = STAGES["mimo_vl_7b"]["pytorchjob"]
    spec = build_pytorchjob(attempt_of(stage), stage, facts_of("mimo_vl_7b"))["spec"]
    assert spec["pytorchReplicaSpecs"]["Worker"]["replicas"] == 3
    resources = spec["pytorchReplicaSpecs"]["Worker"]["template"]["spec"]["containers"][0]["resources"]
    assert resources["requests"] == resources["limits"]
    assert resources["limits"]["nvidia.com/gpu"] == "8"
