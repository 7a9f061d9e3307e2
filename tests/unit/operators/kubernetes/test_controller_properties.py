"""Whatever happens to pods, jobs and the operator in whatever order: one attempt at a time, and the pipeline ends."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from mimo_vl.storage.store import store_for_uri
from operators.mimo_pipeline.cluster_settings import ClusterSettings
from operators.mimo_pipeline.code_digest import project_root
from operators.mimo_pipeline.kubernetes import controller as controller_module
from operators.mimo_pipeline.kubernetes.cluster import ApiError
from operators.mimo_pipeline.kubernetes.compose_runtime import Composed
from operators.mimo_pipeline.kubernetes.controller import Controller
from operators.mimo_pipeline.plan import PipelineRuntime
from tests.fakes.cluster import FakeCluster, OperatorDiedError, Process

_STAGES = [
    {"name": "base", "job": {}, "retry": {"maxAttempts": 50}},
    {"name": "projector-warmup", "pytorch": {"numNodes": 2}, "dependsOn": ["base"], "retry": {"maxAttempts": 50}},
    {"name": "morl", "ray": {}, "dependsOn": ["projector-warmup"], "retry": {"maxAttempts": 50}},
]
_ACTIONS = (
    "round",
    "round",
    "start",
    "die",
    "restart",
    "save",
    "publish",
    "exit",
    "delete-pod",
    "kill-pod",
    "drop-job",
)
_EVENTS = st.lists(
    st.tuples(
        st.sampled_from((*_ACTIONS, "wait", "suspend", "resume")), st.integers(0, 4), st.sampled_from((0, 1, 75))
    ),
    min_size=20,
    max_size=60,
)
_RUNTIME = PipelineRuntime(config_digests={s["name"]: "sha256:c" for s in _STAGES}, code_digest="sha256:x")


class _World:
    def __init__(self, path: Path) -> None:
        self.uri = path.as_uri()
        self.cluster = FakeCluster(store=store_for_uri(self.uri))
        self.processes: list[Process] = []
        self.spec = {"profile": "tiny", "stages": _STAGES}
        self.cluster.put_pipeline("demo", self.spec)
        self.restart()

    def restart(self) -> None:
        images = {"trainer": {"reference": "a:1"}, "rollout": {"reference": "b:1"}}
        accounts = {"trainer": "t", "rayHead": "h", "rayWorker": "w"}
        store = {"uri": self.uri, "secret": "store"}
        values = {"images": images, "serviceAccounts": accounts, "store": store}
        self.controller = Controller(
            api=self.cluster,
            settings=ClusterSettings.model_validate(values),
            source_root=project_root(),
            now=lambda: self.cluster.now,
        )

    def round(self) -> None:
        try:
            self.controller.round("team", "demo")
        except OperatorDiedError:
            self.restart()
        except ApiError as error:
            if not error.is_conflict:
                raise
        finally:
            self.cluster.die_after = None

    def edit(self, **changes: object) -> None:
        self.spec = {**self.spec, **changes}
        self.cluster.put_pipeline("demo", self.spec)

    def start(self) -> None:
        """Pods appear for every job that has none yet and is not under deletion."""
        for leaf in self.cluster.leaves():
            name, is_new = leaf["metadata"]["name"], "status" not in leaf
            if is_new and "deletionTimestamp" not in leaf["metadata"] and not self.cluster.pods_of(name):
                self.processes += self.cluster.start_pods(name, 2)

    def running(self) -> list[Process]:
        return [p for p in self.processes if any(pod["status"]["phase"] == "Running" for pod in p.pods)]

    def happen(self, action: str, number: int, code: int) -> None:
        running = self.running()
        process = running[number % len(running)] if running else None
        simple = {"round": self.round, "restart": self.restart, "start": self.start}
        if action in simple:
            simple[action]()
        elif action == "die":
            self.cluster.die_after = number
            self.round()
        elif action == "wait":
            self.cluster.wait(number * 20.0)
        elif action in ("suspend", "resume"):
            self.edit(suspend=action == "suspend")
        elif process is not None:
            self._process_event(process, action, number, code)

    def _process_event(self, process: Process, action: str, number: int, code: int) -> None:
        if action == "save":
            process.save(number)
        elif action == "publish":
            process.publish()
        elif action == "exit":
            process.end(code, record=number > 1)
        elif action in ("delete-pod", "kill-pod"):
            # The job is Failed at once, whatever the pod does in its grace period.
            self.cluster._delete_pod(process.pods[0], 0 if action == "kill-pod" else None)
            process.finish_leaf(succeeded=False)
            self.cluster.settle()
        else:
            leaf = process.leaf
            self.cluster.objects.pop((leaf["kind"], "team", leaf["metadata"]["name"]), None)

    def finish(self) -> None:
        """A kind world from now on."""
        self.edit(suspend=False)
        for _ in range(80):
            self.round()
            if self.phase == "Succeeded":
                return
            self.start()
            for process in self.running():
                process.publish()
                process.end(0)
            self.cluster.wait(30.0)
        raise AssertionError(f"lost: {self.cluster.pipeline('demo').get('status', {}).get('stages')}")

    @property
    def phase(self) -> str:
        return str((self.cluster.pipeline("demo").get("status") or {}).get("phase", ""))


@pytest.mark.timeout(180)
@settings(max_examples=20, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@example(events=[("round", 0, 0), ("die", 2, 0), ("start", 0, 0), ("drop-job", 0, 0), ("round", 0, 0)])
@given(events=_EVENTS)
def test_no_two_attempts_overlap_and_the_pipeline_ends(events: list[tuple[str, int, int]]) -> None:
    composed = Composed(runtime=_RUNTIME)
    with TemporaryDirectory() as folder, mock.patch.object(controller_module, "compose_runtime", return_value=composed):
        world = _World(Path(folder))
        for action, number, code in events:
            world.happen(action, number, code)
        world.finish()
        assert world.cluster.violations == []
        assert world.phase == "Succeeded"
