"""The compiled pipeline that shows one MimoPipeline in Kubeflow Pipelines: the profile's, cut to its stages. Pure."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from mimo_vl.errors import ConfigError
from operators.mimo_pipeline.api import MimoPipelineSpec

PACKAGES = Path(__file__).parent / "packages"
FIRST_TASK = "make-pipeline"


def pipeline_spec(spec: MimoPipelineSpec, image: str) -> dict[str, Any]:
    """A step for every stage of `spec`, after those that the stage depends on; all steps run `image`.

    Raises:
        ConfigError: the profile has no package.
    """
    package = deepcopy(_package(spec.profile))
    dag = package["root"]["dag"]
    task_of = {_stage(task): name for name, task in dag["tasks"].items() if name != FIRST_TASK}
    kept = {FIRST_TASK: dag["tasks"][FIRST_TASK]}
    for stage in spec.stages:
        if stage.name in task_of:
            task = dag["tasks"][task_of[stage.name]]
            needed = [task_of[name] for name in stage.depends_on if name in task_of]
            kept[task_of[stage.name]] = {**task, "dependentTasks": sorted([FIRST_TASK, *needed])}
    dag["tasks"] = kept
    _drop_unused(package)
    for executor in package["deploymentSpec"]["executors"].values():
        executor["container"]["image"] = image
    return package


@cache
def _package(profile: str) -> dict[str, Any]:
    path = PACKAGES / f"{profile}.yaml"
    if not path.is_file():
        raise ConfigError(f"profile {profile}: Kubeflow Pipelines has no package for it; there are {_profiles()}")
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def _profiles() -> list[str]:
    return sorted(path.stem for path in PACKAGES.glob("*.yaml"))


def _stage(task: dict[str, Any]) -> str:
    return str(task["inputs"]["parameters"]["stage"]["runtimeValue"]["constant"])


def _drop_unused(package: dict[str, Any]) -> None:
    components = {task["componentRef"]["name"] for task in package["root"]["dag"]["tasks"].values()}
    package["components"] = {name: c for name, c in package["components"].items() if name in components}
    executors = {component["executorLabel"] for component in package["components"].values()}
    deployment = package["deploymentSpec"]
    deployment["executors"] = {name: e for name, e in deployment["executors"].items() if name in executors}
