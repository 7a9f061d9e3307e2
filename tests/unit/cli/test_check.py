"""`mimo check`: every child of every profile, rendered without a cluster, and what does not fit."""

from __future__ import annotations

import pytest
import yaml
from typer.testing import CliRunner

from jobs.cli import app
from jobs.cluster_check import CheckRequest, fit_problems, render, write_manifests
from mimo_vl.config.compose import list_profiles
from mimo_vl.errors import ConfigError
from mimo_vl.vocabulary import PRETRAINING_STAGES, REWARD_MODEL_STAGES, StageName
from operators.mimo_pipeline.example_settings import example_settings


def _gpus(rendered, stage: str) -> int:
    return sum(row.group.num_gpus for row in rendered.rows if row.stage == stage)


@pytest.mark.parametrize("profile", list_profiles())
def test_every_child_of_every_profile_is_rendered_and_fits(profile) -> None:
    rendered = render(CheckRequest(profile=profile))
    assert [o["kind"] for o in rendered.objects].count("PyTorchJob") == 6
    assert [o["kind"] for o in rendered.objects].count("RayJob") == 1
    assert {row.stage for row in rendered.rows} == {s.name for s in rendered.spec.stages}
    assert fit_problems(rendered, 79.6) == []


def test_the_large_profile_has_a_gpu_for_each_rank_and_memory_for_what_it_holds() -> None:
    rendered = render(CheckRequest(profile="mimo_vl_7b"))
    for name in PRETRAINING_STAGES:
        assert _gpus(rendered, name) == 128
    for name in REWARD_MODEL_STAGES:
        assert _gpus(rendered, name) == 8
    assert StageName.BASE not in {s.name for s in rendered.spec.stages}
    sft = [row for row in rendered.rows if row.stage == StageName.LONG_CONTEXT_SFT]
    assert [(row.group.name, row.group.num_pods) for row in sft] == [("master", 1), ("worker", 15)]
    assert sft[0].memory_gib == pytest.approx(29.5, abs=0.1)


def test_requests_and_limits_of_gpus_are_the_same_in_every_pod() -> None:
    rows = [r for r in render(CheckRequest(profile="mimo_vl_7b")).rows if r.group.num_gpus]
    assert len(rows) >= 10
    for row in rows:
        assert row.group.requests["nvidia.com/gpu"] == row.group.limits["nvidia.com/gpu"]


def test_a_gpu_that_is_too_small_is_named_for_every_stage_that_needs_more() -> None:
    problems = fit_problems(render(CheckRequest(profile="mimo_vl_7b")), 24.0)
    # 29.5 GiB of 21.6 usable; the reward models need 41.0 and 48.6, a trainer of the policy 18.0.
    assert [p.split(":")[0] for p in problems] == ["long-context-sft", *REWARD_MODEL_STAGES]
    assert "needs about 29.5 GiB per GPU, 21.6 of 24.0 GiB can be used" in problems[0]


def test_pods_that_end_before_their_stage_has_saved_are_named(tmp_path) -> None:
    settings = example_settings(has_gpus=True).to_values()
    settings["pods"]["pytorch"]["terminationGracePeriodSeconds"] = 300
    settings["pods"]["rayHead"]["terminationGracePeriodSeconds"] = 900
    path = tmp_path / "operator.yaml"
    path.write_text(yaml.safe_dump(settings))
    problems = fit_problems(render(CheckRequest(profile="mimo_vl_7b", settings_path=path)), 79.6)
    # Of 16 nodes each writes 7 GiB; a reward model has one.
    assert [p.split(":")[0] for p in problems] == [*REWARD_MODEL_STAGES, "morl", "morl"]
    assert "of master pods is 300, wanted at least 537: 8 s of an update and 101.4 GiB of a checkpoint" in problems[0]
    assert "of trainer pods is 900, wanted at least 1797" in problems[2]
    assert "of head pods is 900, wanted at least 1797: 1769 s of an update" in problems[3]


def test_pods_whose_gpus_are_not_the_ranks_are_named(tmp_path) -> None:
    settings = example_settings(has_gpus=True).to_values()
    for part in ("requests", "limits"):
        settings["pods"]["pytorch"][part]["nvidia.com/gpu"] = "4"
        settings["pods"]["rayTrainer"][part]["nvidia.com/gpu"] = "8"
        settings["pods"]["rayRollout"][part]["nvidia.com/gpu"] = "2"
    path = tmp_path / "operator.yaml"
    path.write_text(yaml.safe_dump(settings))
    problems = fit_problems(render(CheckRequest(profile="mimo_vl_7b", settings_path=path)), 79.6)
    by_stage: dict[str, str] = {}
    for problem in problems:
        stage = problem.split(":")[0]
        by_stage[stage] = by_stage.get(stage, "") + problem
    assert set(by_stage) == {*PRETRAINING_STAGES, *REWARD_MODEL_STAGES, StageName.MORL}
    assert (
        "16 pods with 4 GPUs each are 64 GPUs for 128 processes (parallelism.num_ranks)" in by_stage["projector-warmup"]
    )
    assert "32 pods with 8 GPUs each are 256 GPUs for 32 processes (rl.num_trainer_workers)" in by_stage["morl"]
    assert "16 pods with 2 GPUs each are 32 GPUs for 16 processes (rl.num_rollout_workers)" in by_stage["morl"]


def test_a_cluster_without_gpus_has_no_estimate_to_fail(tmp_path) -> None:
    rendered = render(CheckRequest(profile="tiny"))
    assert sum(row.group.num_gpus for row in rendered.rows) == 0
    assert fit_problems(rendered, 0.001) == []


def test_manifests_are_written_one_file_each(tmp_path) -> None:
    rendered = render(CheckRequest(profile="tiny"))
    paths = write_manifests(rendered.objects, tmp_path / "out")
    assert len(paths) == len(set(paths)) == 13
    names = {p.name for p in paths}
    assert {"pytorchjob-tiny-projector-warmup-1.yaml", "rayjob-tiny-morl-1.yaml", "job-tiny-finalize-1.yaml"} <= names
    assert yaml.safe_load(paths[0].read_text())["kind"] == "ConfigMap"


def test_the_command_prints_the_table_and_fails_on_what_does_not_fit(tmp_path) -> None:
    arguments = ["check", "--profile", "mimo_vl_7b"]
    result = CliRunner().invoke(app, [*arguments, "--output-dir", str(tmp_path)], catch_exceptions=False)
    assert result.exit_code == 0
    assert "Profile mimo_vl_7b: 8.31 B parameters, at most 128 GPUs at once" in result.output
    assert "PyTorchJob" in result.output
    assert len(list(tmp_path.iterdir())) == 12
    with pytest.raises(ConfigError, match="long-context-sft: needs about"):
        CliRunner().invoke(app, [*arguments, "--gpu-memory-gib", "24"], catch_exceptions=False)


def test_a_wrong_settings_file_names_the_field(tmp_path) -> None:
    path = tmp_path / "operator.yaml"
    path.write_text("images: {}\n")
    with pytest.raises(ConfigError, match=r"operator settings: images\.trainer"):
        render(CheckRequest(profile="tiny", settings_path=path))
