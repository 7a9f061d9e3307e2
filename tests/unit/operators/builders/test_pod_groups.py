"""Pods of every kind of job, read back from what the builders made."""

from __future__ import annotations

import pytest

from operators.mimo_pipeline.builders.leaf import build_leaf
from operators.mimo_pipeline.builders.pod_groups import PodGroup, pod_groups
from tests.fakes.clusters import STAGES, attempt_of, facts_of


def _groups(kind: str) -> dict[str, PodGroup]:
    stage = STAGES["mimo_vl_7b"][kind]
    return {g.name: g for g in pod_groups(build_leaf(attempt_of(stage), stage, facts_of("mimo_vl_7b")))}


@pytest.mark.parametrize(
    ("kind", "pods"),
    [
        ("job", {"job": 1}),
        ("pytorchjob", {"master": 1, "worker": 3}),
        ("trainjob", {"node": 4}),
        ("rayjob", {"submitter": 1, "head": 1, "trainer": 4, "rollout": 2, "reward": 1}),
    ],
)
def test_groups_and_their_sizes(kind, pods) -> None:
    assert {name: g.num_pods for name, g in _groups(kind).items()} == pods


def test_gpus_are_counted_per_pod_and_for_the_group() -> None:
    worker = _groups("pytorchjob")["worker"]
    assert (worker.gpus_per_pod, worker.num_gpus) == (8, 24)
    assert _groups("trainjob")["node"].num_gpus == 32
    assert _groups("rayjob")["head"].num_gpus == 0


@pytest.mark.parametrize(("kind", "name"), [("pytorchjob", "worker"), ("trainjob", "node"), ("rayjob", "trainer")])
def test_the_time_that_pods_get_to_end_is_that_of_their_settings(kind, name) -> None:
    assert _groups(kind)[name].grace_s == 900


def test_a_pod_without_a_grace_period_of_its_own_gets_ours() -> None:
    assert _groups("job")["job"].grace_s == 90


def test_a_kind_that_nobody_builds_is_an_error() -> None:
    with pytest.raises(KeyError):
        pod_groups({"kind": "Deployment", "spec": {}})
