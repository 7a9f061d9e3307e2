"""The package of a profile, cut to one pipeline: its stages, its order, its image, and nothing that is not used."""

from __future__ import annotations

import pytest

from mimo_vl.config.compose import compose
from mimo_vl.errors import ConfigError
from operators.mimo_pipeline.api import MimoPipelineSpec, StageSpec
from operators.mimo_pipeline.kubeflow.package import FIRST_TASK, pipeline_spec
from operators.mimo_pipeline.profile_graph import graph_of


def _names(package: dict) -> dict[str, set[str]]:
    tasks = package["root"]["dag"]["tasks"]
    name_of = {task: spec["taskInfo"]["name"] for task, spec in tasks.items()}
    return {name_of[t]: {name_of[d] for d in s.get("dependentTasks", [])} for t, s in tasks.items()}


def test_only_the_stages_of_the_pipeline_are_steps_in_its_own_order() -> None:
    stages = (StageSpec(name="evaluate"), StageSpec(name="curate", depends_on=("evaluate",)), StageSpec(name="mine"))
    package = pipeline_spec(MimoPipelineSpec(profile="tiny", stages=stages), "registry/kfp:1")
    # `mine` is a stage of nobody's configuration: there is no step for it.
    assert _names(package) == {
        FIRST_TASK: set(),
        "evaluate": {FIRST_TASK},
        "curate": {FIRST_TASK, "evaluate"},
    }
    assert len(package["components"]) == 3
    executors = package["deploymentSpec"]["executors"]
    assert len(executors) == 3
    assert {e["container"]["image"] for e in executors.values()} == {"registry/kfp:1"}


def test_the_whole_graph_is_the_package_as_it_was_compiled() -> None:
    spec = MimoPipelineSpec(profile="smol", stages=tuple(graph_of(compose("smol"))))
    names = _names(pipeline_spec(spec, "registry/kfp:1"))
    assert names == {FIRST_TASK: set()} | {s.name: {FIRST_TASK, *s.depends_on} for s in spec.stages}
    # What one pipeline needs is cut from a copy.
    assert _names(pipeline_spec(spec, "registry/kfp:2")) == names


def test_a_profile_without_a_package_is_named() -> None:
    spec = MimoPipelineSpec(profile="large", stages=(StageSpec(name="base"),))
    with pytest.raises(ConfigError, match=r"profile large: .*\['mimo_vl_7b', 'smol', 'tiny'\]"):
        pipeline_spec(spec, "x")
