"""What the controller does with its window in Kubeflow Pipelines: writes the run's id down, tells trouble, goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from mimo_vl.storage.store import store_for_uri
from operators.mimo_pipeline.api import MimoPipelineStatus
from operators.mimo_pipeline.cluster_settings import ClusterSettings
from operators.mimo_pipeline.code_digest import project_root
from operators.mimo_pipeline.kubeflow.mirror import Mirrored
from operators.mimo_pipeline.kubernetes import controller as controller_module
from operators.mimo_pipeline.kubernetes.compose_runtime import Composed
from operators.mimo_pipeline.kubernetes.controller import REFUSED_S, Controller
from operators.mimo_pipeline.plan import PipelineRuntime
from tests.fakes.cluster import FakeCluster

_RUNTIME = PipelineRuntime(
    config={"profile": "tiny"},
    config_digests={"base": "sha256:base"},
    code_digest="sha256:code",
    image_digests={"trainer": "registry/trainer:1"},
)


class FakeMirror:
    def __init__(self) -> None:
        self.answer = ("", "")
        self.seen: list[Mirrored] = []
        self.forgotten: list[tuple[str, str]] = []

    def look(self, pipeline: Mirrored) -> tuple[str, str]:
        self.seen.append(pipeline)
        return self.answer

    def forget(self, namespace: str, name: str) -> None:
        self.forgotten.append((namespace, name))


class World:
    def __init__(self, path: Path) -> None:
        store = {"uri": path.as_uri(), "secret": "store"}
        self.cluster = FakeCluster(store=store_for_uri(path.as_uri()))
        self.mirror = FakeMirror()
        accounts = {"trainer": "trainer", "rayHead": "head", "rayWorker": "worker"}
        images = {"trainer": {"reference": "registry/trainer:1"}, "rollout": {"reference": "registry/rollout:1"}}
        settings = ClusterSettings.model_validate(
            {
                "images": images,
                "serviceAccounts": accounts,
                "store": store,
                "kubeflow": {
                    "endpoint": "http://ml-pipeline.kubeflow.svc:8888",
                    "image": "registry/mimo-kfp:1",
                    "ui": "https://kubeflow.example.com",
                },
            }
        )
        self.controller = Controller(
            api=self.cluster, settings=settings, source_root=project_root(), now=lambda: self.cluster.now
        )
        assert self.controller.mirror is not None
        self.controller.mirror = self.mirror

    def round(self) -> float | None:
        return self.controller.round("team", "demo")

    @property
    def status(self) -> MimoPipelineStatus:
        return MimoPipelineStatus.model_validate(self.cluster.pipeline("demo")["status"])

    @property
    def trouble(self) -> list[str]:
        return [c.message for c in self.status.conditions if c.type == "KubeflowUnavailable"]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(controller_module, "compose_runtime", lambda *_: Composed(runtime=_RUNTIME))
    world = World(tmp_path)
    world.cluster.put_pipeline("demo", {"profile": "tiny", "stages": [{"name": "base", "job": {}}]})
    return world


def test_the_id_of_the_run_is_in_the_status_and_stays_there(world: World) -> None:
    world.mirror.answer = ("run-1", "")
    world.round()
    assert world.status.kubeflow_run == "run-1"
    world.round()
    assert world.mirror.seen[-1].status.kubeflow_run == "run-1"
    assert world.mirror.seen[-1].run_id.startswith("team/demo/")
    assert world.trouble == []


def test_trouble_is_a_condition_that_goes_away_and_keeps_no_stage_from_starting(world: World) -> None:
    world.mirror.answer = ("", "Kubeflow Pipelines API: 503: unwell")
    again_in_s = world.round()
    assert again_in_s is not None
    assert again_in_s <= REFUSED_S
    assert world.trouble == ["Kubeflow Pipelines API: 503: unwell"]
    assert not world.mirror.seen[-1].is_owed
    world.round()
    assert world.mirror.seen[-1].is_owed
    assert [leaf["metadata"]["name"] for leaf in world.cluster.leaves()] == ["demo-base-1"]
    world.mirror.answer = ("run-1", "")
    world.round()
    assert world.trouble == []


def test_a_deleted_pipeline_is_forgotten_in_the_window_too(world: World) -> None:
    world.round()
    assert world.controller.round("team", "gone") is None
    assert world.mirror.forgotten == [("team", "gone")]


def test_without_settings_there_is_no_window(world: World, tmp_path: Path) -> None:
    settings = world.controller.settings.model_copy(update={"kubeflow": None})
    assert Controller(api=world.cluster, settings=settings, source_root=project_root()).mirror is None


def test_an_attempt_is_told_of_the_run_that_shows_it(world: World) -> None:
    world.mirror.answer = ("run-1", "")
    world.round()
    world.round()
    assert _variable(world, "demo-base-1", "MIMO_KFP_RUN") == "https://kubeflow.example.com/#/runs/details/run-1"


def test_an_attempt_that_begins_while_there_is_no_run_is_told_of_none(world: World) -> None:
    world.mirror.answer = ("", "Kubeflow Pipelines API: 503: unwell")
    world.round()
    world.round()
    assert _variable(world, "demo-base-1", "MIMO_KFP_RUN") == ""


def _variable(world: World, leaf: str, name: str) -> str:
    found = world.cluster.leaf(leaf)
    assert found is not None
    [container] = found["spec"]["template"]["spec"]["containers"]
    return {e["name"]: e.get("value", "") for e in container["env"]}[name]
