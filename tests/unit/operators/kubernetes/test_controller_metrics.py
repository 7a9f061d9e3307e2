"""What the operator shows of a pipeline: also of stages whose pods are gone, also after it was restarted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from operators.mimo_pipeline.kubernetes import controller as controller_module
from operators.mimo_pipeline.kubernetes.compose_runtime import Composed
from operators.mimo_pipeline.kubernetes.resources import PIPELINES
from operators.mimo_pipeline.plan import PipelineRuntime
from tests.unit.operators.kubernetes.test_controller import World

_STAGES = [
    {"name": "base", "job": {}},
    {
        "name": "projector-warmup",
        "dependsOn": ["base"],
        "pytorch": {"numNodes": 2, "pod": {"requests": {"nvidia.com/gpu": "4"}, "limits": {"nvidia.com/gpu": "4"}}},
    },
]
_DEMO = {"mimo_namespace": "team", "mimo_pipeline": "demo"}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    names = [str(stage["name"]) for stage in _STAGES]
    runtime = PipelineRuntime(config_digests={name: f"sha256:{name}" for name in names}, code_digest="sha256:code")
    monkeypatch.setattr(controller_module, "compose_runtime", lambda *_: Composed(runtime=runtime))
    world = World(tmp_path)
    world.submit(stages=_STAGES)
    return world


def _value(world: World, name: str, labels: Mapping[str, str]) -> float | None:
    return world.controller.metrics.registry.get_sample_value(name, dict(labels))


def test_a_restarted_operator_shows_what_ended_stages_left(world: World) -> None:
    process = world.start("demo-base-1")
    process.publish(**{"train/loss": 1.25, "vision_cell_accuracy": 0.7})
    process.end(0)
    world.rounds()
    loss = {**_DEMO, "stage": "base", "attempt": "1", "part": ""}
    assert _value(world, "mimo_train_loss", loss) == 1.25
    world.restart()
    assert _value(world, "mimo_train_loss", loss) is None
    world.rounds(1)
    assert _value(world, "mimo_train_loss", loss) == 1.25


def test_the_gpus_of_all_pods_of_a_stage_are_counted(world: World) -> None:
    world.succeed("demo-base-1")
    world.start("demo-projector-warmup-1", num_pods=2)
    # Two nodes of four GPUs.
    assert _value(world, "mimo_pipeline_stage_gpus", {**_DEMO, "stage": "projector-warmup"}) == 8
    assert _value(world, "mimo_pipeline_stage_gpus", {**_DEMO, "stage": "base"}) == 0
    state = {**_DEMO, "stage": "projector-warmup", "state": "Running", "reason": "Started"}
    assert _value(world, "mimo_pipeline_stage_state", state) == 1


def test_a_failed_attempt_is_counted_and_the_next_one_is_the_latest(world: World) -> None:
    world.start("demo-base-1").end(1, message="disk full")
    world.rounds()
    assert _value(world, "mimo_pipeline_stage_failures", {**_DEMO, "stage": "base"}) == 1
    world.cluster.wait(6)
    world.succeed("demo-base-2")
    assert _value(world, "mimo_pipeline_stage_attempt", {**_DEMO, "stage": "base"}) == 2
    state = {**_DEMO, "stage": "base", "state": "Succeeded", "reason": "Completed"}
    assert _value(world, "mimo_pipeline_stage_state", state) == 1


def test_a_deleted_pipeline_is_shown_no_more(world: World) -> None:
    world.rounds()
    assert _value(world, "mimo_operator_pipelines", {"phase": "Running"}) == 1
    world.cluster.delete(PIPELINES, "team", "demo")
    world.rounds(1)
    assert _value(world, "mimo_operator_pipelines", {"phase": "Running"}) == 0
    assert _value(world, "mimo_pipeline_stage_attempt", {**_DEMO, "stage": "base"}) is None
