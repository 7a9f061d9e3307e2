from __future__ import annotations

import re

import pytest

from mimo_vl.errors import ConfigError
from operators.mimo_pipeline.api import PodSettings, Toleration
from operators.mimo_pipeline.builders.pod_settings import (
    PodKind,
    check_settings,
    grace_period_s,
    launcher_grace_s,
    merge_settings,
    num_gpus,
    settings_of,
)
from operators.mimo_pipeline.cluster_settings import PodDefaults


def _error(settings: PodSettings) -> str:
    with pytest.raises(ConfigError) as caught:
        check_settings(settings, "stages[morl].ray.head")
    return str(caught.value)


def test_maps_are_merged_key_by_key_and_the_stage_wins() -> None:
    merged = merge_settings(
        PodSettings(limits={"cpu": "2", "memory": "4Gi"}, env={"OMP_NUM_THREADS": "1"}),
        PodSettings(limits={"memory": "8Gi"}, env={"NCCL_DEBUG": "INFO"}),
    )
    assert merged.limits == {"cpu": "2", "memory": "8Gi"}
    assert merged.env == {"OMP_NUM_THREADS": "1", "NCCL_DEBUG": "INFO"}


def test_other_fields_are_the_stages_where_it_sets_them() -> None:
    toleration = Toleration(key="gpu", operator="Exists")
    defaults = PodSettings(
        shm_size="1Gi", priority_class_name="low", termination_grace_period_seconds=60, tolerations=(toleration,)
    )
    merged = merge_settings(defaults, PodSettings(priority_class_name="high"))
    assert merged == defaults.model_copy(update={"priority_class_name": "high"})
    other = Toleration(key="other", operator="Exists")
    assert merge_settings(defaults, PodSettings(tolerations=(other,))).tolerations == (other,)


def test_every_field_of_a_stage_goes_over_the_defaults() -> None:
    own = PodSettings(
        requests={"cpu": "1"},
        limits={"cpu": "2"},
        node_selector={"a": "b"},
        tolerations=(Toleration(key="a"),),
        priority_class_name="p",
        topology_key="rack",
        shm_size="1Gi",
        scratch_size="2Gi",
        termination_grace_period_seconds=30,
        env={"NCCL_DEBUG": "INFO"},
    )
    assert set(own.model_fields_set) == set(PodSettings.model_fields)
    assert merge_settings(PodSettings(), own) == own


def test_each_kind_of_pod_has_its_own_defaults() -> None:
    fields = {
        PodKind.JOB: "job",
        PodKind.PYTORCH: "pytorch",
        PodKind.RAY_HEAD: "ray_head",
        PodKind.RAY_TRAINER: "ray_trainer",
        PodKind.RAY_ROLLOUT: "ray_rollout",
        PodKind.RAY_REWARD: "ray_reward",
    }
    assert set(fields.values()) == set(PodDefaults.model_fields)
    defaults = PodDefaults(**{field: PodSettings(node_selector={"for": field}) for field in fields.values()})
    for kind, field in fields.items():
        assert settings_of(kind, PodSettings(), defaults, "x").node_selector == {"for": field}


@pytest.mark.parametrize("resource", ["nvidia.com/gpu", "rdma/hca"])
def test_a_device_must_be_requested_as_often_as_it_is_limited(resource) -> None:
    text = _error(PodSettings(requests={resource: "4"}, limits={resource: "8"}))
    assert text.startswith(f"stages[morl].ray.head.requests.{resource}: got 4 with limit 8;")
    assert "with limit None" in _error(PodSettings(requests={resource: "4"}))
    check_settings(PodSettings(requests={resource: "8"}, limits={resource: "8"}), "x")
    check_settings(PodSettings(limits={resource: "8"}), "x")


def test_a_request_above_its_limit_is_refused() -> None:
    text = _error(PodSettings(requests={"memory": "2Gi"}, limits={"memory": "2047Mi"}))
    assert text == "stages[morl].ray.head.requests.memory: got 2Gi, wanted at most limits.memory = 2047Mi"
    check_settings(PodSettings(requests={"memory": "2Gi"}, limits={"memory": "2048Mi"}), "x")


def test_shared_memory_must_be_smaller_than_the_memory_limit_that_it_counts_in() -> None:
    text = _error(PodSettings(limits={"memory": "1Gi"}, shm_size="1024Mi"))
    assert text.startswith("stages[morl].ray.head.shmSize: got 1024Mi, wanted less than limits.memory = 1Gi")
    check_settings(PodSettings(limits={"memory": "1Gi"}, shm_size="1023Mi"), "x")
    check_settings(PodSettings(shm_size="1Gi"), "x")


def test_all_contradictions_are_told_at_once() -> None:
    text = _error(
        PodSettings(
            requests={"cpu": "3", "nvidia.com/gpu": "1"},
            limits={"cpu": "2", "memory": "1Gi"},
            shm_size="2Gi",
            termination_grace_period_seconds=5,
            tolerations=(Toleration(), Toleration(key="a", operator="Exists", value="b")),
        )
    )
    fields = re.findall(r"^stages\[morl\]\.ray\.head\.([^:]+):", text, re.MULTILINE)
    assert fields == [
        "requests.cpu",
        "requests.nvidia.com/gpu",
        "shmSize",
        "terminationGracePeriodSeconds",
        "tolerations",
        "tolerations",
    ]


@pytest.mark.parametrize("seconds", [None, 15, 90, 900])
def test_the_launcher_ends_its_ranks_before_the_pod_is_killed(seconds) -> None:
    settings = PodSettings(termination_grace_period_seconds=seconds)
    assert 0 < launcher_grace_s(settings) <= grace_period_s(settings) - 10


def test_gpus_of_any_vendor_are_counted_and_nothing_else() -> None:
    assert num_gpus(PodSettings(limits={"nvidia.com/gpu": "8", "rdma/hca": "4", "cpu": "2"})) == 8
    assert num_gpus(PodSettings(limits={"amd.com/gpu": "2"})) == 2
    assert num_gpus(PodSettings(limits={"cpu": "2"})) == 0
