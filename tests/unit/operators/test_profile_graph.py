"""The configuration decides how many pods and ranks each stage has."""

from __future__ import annotations

import pytest

from mimo_vl.config.compose import compose, list_profiles
from mimo_vl.errors import ConfigError
from mimo_vl.vocabulary import PRETRAINING_STAGES, REWARD_MODEL_STAGES
from operators.mimo_pipeline.profile_graph import graph_of


def _stage(profile: str, name: str, *overrides: str):
    return next(s for s in graph_of(compose(profile, overrides)) if s.name == name)


@pytest.mark.parametrize("profile", list_profiles())
def test_nodes_times_ranks_per_node_are_the_ranks_of_the_configuration(profile) -> None:
    config = compose(profile)
    by_name = {s.name: s for s in graph_of(config)}
    sections = {**config.stages, **config.reward_models}
    assert set(sections) == {*PRETRAINING_STAGES, *REWARD_MODEL_STAGES}
    for name, section in sections.items():
        assert by_name[name].num_procs == section.parallelism.num_ranks


def test_large_stages_fill_nodes_of_eight_gpus_and_tiny_ones_run_on_two_pods() -> None:
    large = _stage("mimo_vl_7b", "long-context-sft").pytorch
    assert (large.num_nodes, large.num_procs_per_node) == (16, 8)
    tiny = _stage("tiny", "long-context-sft").pytorch
    assert (tiny.num_nodes, tiny.num_procs_per_node) == (2, 1)


def test_fewer_ranks_than_a_node_holds_are_one_node() -> None:
    stage = _stage("mimo_vl_7b", "projector-warmup", "stages.projector-warmup.parallelism.num_ranks=4").pytorch
    assert (stage.num_nodes, stage.num_procs_per_node) == (1, 4)


def test_every_stage_whose_ranks_do_not_fill_its_nodes_is_named() -> None:
    overrides = [f"stages.{name}.parallelism.num_ranks=12" for name in ("projector-warmup", "long-context-sft")]
    with pytest.raises(ConfigError, match=r"projector-warmup.*12 ranks do not fill nodes of 8.*\n.*long-context-sft"):
        graph_of(compose("mimo_vl_7b", overrides))


def test_jobs_whose_models_write_answers_have_a_gpu_where_training_has_gpus() -> None:
    with_gpu = {
        s.name: (s.job.pod.requests, s.job.pod.tolerations[0].key)
        for s in graph_of(compose("mimo_vl_7b"))
        if s.job and s.job.pod.limits
    }
    one = ({"nvidia.com/gpu": "1"}, "nvidia.com/gpu")
    assert with_gpu == {"curate-rl": one, "evaluate": one}
    for profile in ("tiny", "smol"):
        jobs = [s.job for s in graph_of(compose(profile)) if s.job]
        assert jobs
        assert [job.pod.limits for job in jobs if job.pod.limits] == []


def test_the_groups_of_reinforcement_learning_have_a_pod_per_worker() -> None:
    ray = _stage("mimo_vl_7b", "morl").ray
    assert (ray.trainer.replicas, ray.rollout.replicas, ray.reward.replicas) == (32, 16, 1)
