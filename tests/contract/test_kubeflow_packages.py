"""The compiled packages for Kubeflow Pipelines are up to date and have a step for every stage of the profile."""

from __future__ import annotations

import subprocess
from dataclasses import fields

import pytest
import yaml

from jobs.kfp_local import DEFAULT_KFP_PYTHON
from jobs.kfp_request import KfpRequest
from mimo_vl.config.compose import compose
from operators.mimo_pipeline.chart_images import chart_version
from operators.mimo_pipeline.code_digest import project_root
from operators.mimo_pipeline.kubeflow.package import PACKAGES
from operators.mimo_pipeline.profile_graph import graph_of

PROFILES = ("tiny", "smol", "mimo_vl_7b")
_FIRST = "make-pipeline"


@pytest.mark.timeout(120)
@pytest.mark.skipif(not DEFAULT_KFP_PYTHON.is_file(), reason="no environment of kfp: make setup-kfp")
def test_the_packages_are_up_to_date() -> None:
    command = [str(DEFAULT_KFP_PYTHON), "-m", "jobs.kubeflow_pipeline", "--check"]
    result = subprocess.run(command, cwd=project_root(), capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("profile", PROFILES)
def test_the_steps_are_the_stages_of_the_profile_in_their_order(profile) -> None:
    tasks = _package(profile)["root"]["dag"]["tasks"]
    names = {task: _stage(spec) for task, spec in tasks.items() if task != _FIRST}
    found = {
        names[task]: {names[d] for d in spec["dependentTasks"] if d != _FIRST}
        for task, spec in tasks.items()
        if task != _FIRST
    }
    assert found == {stage.name: set(stage.depends_on) for stage in graph_of(compose(profile))}
    assert {"reward-model-text", "reward-model-multimodal", "morl", "evaluate", "finalize"} <= set(found)
    shown = {spec["taskInfo"]["name"] for spec in tasks.values()}
    assert shown == {_FIRST, *found}


@pytest.mark.parametrize("profile", PROFILES)
def test_nothing_is_cached_and_nothing_runs_on_exit(profile) -> None:
    tasks = _package(profile)["root"]["dag"]["tasks"]
    assert len(tasks) == 1 + len(graph_of(compose(profile)))
    # `cachingOptions: {}` is a message whose enableCache is false; without it the server caches by default.
    assert [name for name, task in tasks.items() if task["cachingOptions"] != {}] == []
    assert [name for name, task in tasks.items() if task.get("triggerPolicy")] == []


@pytest.mark.parametrize("profile", PROFILES)
def test_the_parameters_are_those_of_the_request(profile) -> None:
    package = _package(profile)
    parameters = package["root"]["inputDefinitions"]["parameters"]
    assert set(parameters) | {"run_id"} == {field.name for field in fields(KfpRequest)}
    assert [name for name, parameter in parameters.items() if "defaultValue" not in parameter] == []
    assert parameters["profile"]["defaultValue"] == profile
    given = package["root"]["dag"]["tasks"][_FIRST]["inputs"]["parameters"]
    assert given["run_id"] == {"runtimeValue": {"constant": "{{$.pipeline_job_uuid}}"}}
    assert {name: value for name, value in given.items() if name != "run_id"} == {
        name: {"componentInputParameter": name} for name in parameters
    }


@pytest.mark.parametrize(
    ("stage", "name", "kind"),
    [
        ("base", "model", "system.Model"),
        ("reward-model-text", "model", "system.Model"),
        ("morl", "model", "system.Model"),
        ("curate", "dataset", "system.Dataset"),
        ("curate-rl", "dataset", "system.Dataset"),
        ("evaluate", "results", "system.Artifact"),
        ("finalize", "report", "system.HTML"),
    ],
)
def test_every_step_hands_out_metrics_and_what_its_stage_makes(stage, name, kind) -> None:
    package = _package("tiny")
    [task] = [t for t in package["root"]["dag"]["tasks"].values() if t["taskInfo"]["name"] == stage]
    outputs = package["components"][task["componentRef"]["name"]]["outputDefinitions"]["artifacts"]
    assert outputs.pop("metrics")["artifactType"]["schemaTitle"] == "system.Metrics"
    assert {key: output["artifactType"]["schemaTitle"] for key, output in outputs.items()} == {name: kind}


@pytest.mark.parametrize("profile", PROFILES)
def test_the_image_is_ours_at_this_version_and_nothing_is_installed_when_a_step_starts(profile) -> None:
    executors = _package(profile)["deploymentSpec"]["executors"].values()
    assert {e["container"]["image"] for e in executors} == {f"mimo-kfp:{chart_version()}"}
    assert not any("pip install" in part for e in executors for part in e["container"]["command"])


def _package(profile: str) -> dict:
    return yaml.safe_load((PACKAGES / f"{profile}.yaml").read_text(encoding="utf-8"))


def _stage(task: dict) -> str:
    return task["inputs"]["parameters"]["stage"]["runtimeValue"]["constant"]
