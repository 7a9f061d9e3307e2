"""The short pipeline, driven through its faults.

A worker is lost, a rank crashes, operator and Ray head die, MLflow is away for a stage.
"""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.e2e import faults
from tests.e2e.kube import Cluster, CommandError, eventually
from tests.e2e.pod_watch import PodWatch
from tests.e2e.release import RELEASE, explain
from tests.e2e.shown_metrics import metrics_of_running_stage
from tests.e2e.stored_steps import StoredSteps
from tests.e2e.with_faults.looks import Look, look

NAMESPACE, PIPELINE = "mimo-e2e", "demo-ci"
# On two cores; a single stage takes a minute or less.
STAGE_DEADLINE_S = 600.0
NOTE_EVERY_S = 4.0
REWARD_PORT = 8000
LOST, CRASHED = "multimodal-pretraining", "long-context-sft"
"""Stages that lose a pod and a rank."""
FOLLOWED = "base"
"""Stage whose log is followed from its middle to its end."""
WITHOUT_TRACKING = "reward-model-text"
"""Stage during which there is no MLflow."""
_AWAY_DEADLINE_S = 60.0


@dataclass(frozen=True)
class Followed:
    """`mimo logs -f`, which began when the stage had done `step` of `total` steps."""

    step: int
    total: int
    text: str


@dataclass
class FaultRun:
    cluster: Cluster
    watch: PodWatch
    objects: dict[str, set[str]]
    """Kind -> names of leaf jobs that were seen."""
    notes: dict[str, Any]
    looks: dict[str, Look] = field(default_factory=dict)
    """Stage -> what the windows said while its second attempt ran."""
    _noted_s: float = -NOTE_EVERY_S

    def pipeline(self) -> dict[str, Any]:
        found = self.cluster.get("mimopipelines", PIPELINE, NAMESPACE)
        assert found is not None
        return found

    @property
    def run_id(self) -> str:
        return f"{NAMESPACE}/{PIPELINE}/{self.pipeline()['metadata']['uid'][:8]}"

    @property
    def steps(self) -> StoredSteps:
        return StoredSteps(self.cluster, NAMESPACE, RELEASE, self.run_id, STAGE_DEADLINE_S)

    def stage(self, name: str) -> dict[str, Any]:
        return _stage_of(self.pipeline().get("status", {}), name)

    def note_objects(self) -> None:
        """Now and then: leaf jobs live at least as long as the pods of a stage."""
        now_s = time.monotonic()
        if now_s - self._noted_s < NOTE_EVERY_S:
            return
        self._noted_s = now_s
        for kind in ("jobs", "pytorchjobs", "rayjobs"):
            for item in self.cluster.list(kind, NAMESPACE, "mimo.dev/stage"):
                self.objects.setdefault(kind, set()).add(item["metadata"]["labels"]["mimo.dev/stage"])

    def wait(self, what: str, stage: str, *, attempt: int = 1, has_progress: bool = False, ended: bool = False) -> None:
        """Until the status says that this attempt of the stage runs, or that the stage has succeeded."""

        def probe() -> bool:
            self.note_objects()
            status = self.pipeline().get("status", {})
            now = _stage_of(status, stage)
            if now["state"] == "Failed" or status.get("phase") == "Failed":
                pytest.fail(f"{stage}: {now}\n{explain(self.cluster, NAMESPACE)}")
            if ended:
                return bool(now["state"] == "Succeeded")
            is_there = now["attempt"] >= attempt and (now.get("progress") is not None or not has_progress)
            return bool(now["state"] == "Running" and is_there)

        eventually(
            what, probe, deadline_s=STAGE_DEADLINE_S, interval_s=1.0, explain=lambda: explain(self.cluster, NAMESPACE)
        )


def _stage_of(status: dict[str, Any], name: str) -> dict[str, Any]:
    stages = status.get("stages", [])
    return next((s for s in stages if s["name"] == name), {"name": name, "state": "Pending", "attempt": 0})


def drive(run: FaultRun) -> None:
    """The pipeline from start to end, with the faults."""
    run.wait("base runs", FOLLOWED)
    run.notes["followed"] = _follow(run, FOLLOWED)
    run.wait("stage 3 runs", LOST)
    run.steps.wait_for_checkpoint(LOST, 5)
    worker = f"mimo.dev/stage={LOST},training.kubeflow.org/replica-type=worker"
    run.notes["lost_worker"] = faults.lose_pod(run.cluster, NAMESPACE, worker)
    _look_at_second_attempt(run, LOST)
    if run.cluster.is_development:
        run.wait("SFT runs", CRASHED)
        run.steps.wait_for_checkpoint(CRASHED, 2)
        run.notes["crashed_rank"] = faults.crash_rank(CRASHED)
        _look_at_second_attempt(run, CRASHED)
    run.wait("RL data is curated", "curate-rl")
    run.notes["before_operator_kill"] = {s["name"]: s["attempt"] for s in run.pipeline()["status"]["stages"]}
    run.notes["killed_operators"] = faults.kill_operator(run.cluster, NAMESPACE)
    _scale_tracking(run, 0)
    run.notes["tracking gone"] = run.stage(WITHOUT_TRACKING)["state"]
    run.wait(f"{WITHOUT_TRACKING} succeeds", WITHOUT_TRACKING, ended=True)
    run.notes["pods of tracking"] = len(_tracking_pods(run))
    _scale_tracking(run, 1)
    run.wait("MORL has started", "morl")
    # Before its first step is done: after that one there are only three more until it is too late to lose the head.
    run.notes["reward_service"] = _wait_for_reward_service(run)
    run.steps.wait_for_checkpoint("morl", 1)
    head = "mimo.dev/stage=morl,mimo.dev/component=ray-head"
    run.notes["lost_head"] = faults.lose_pod(run.cluster, NAMESPACE, head)
    run.wait("morl succeeds", "morl", ended=True)
    run.wait("evaluation has started", "evaluate")
    run.notes["live_metrics"] = _metrics_while_it_runs(run, "evaluate")
    for stage in ("evaluate", "finalize"):
        run.wait(f"{stage} succeeds", stage, ended=True)


def _follow(run: FaultRun, stage: str) -> Future[Followed]:
    """In the background; it ends with the stage. Raises CommandError from its result if the command failed."""
    progress = run.steps.wait_for_step(stage, 1)
    command = (sys.executable, "-m", "jobs.cli", "logs", "-f", stage, "--pipeline", PIPELINE, "-n", NAMESPACE)

    def follow() -> Followed:
        text = run.cluster.run(*command, timeout_s=STAGE_DEADLINE_S)
        return Followed(progress.step, progress.total, text)

    return ThreadPoolExecutor(1, "follow").submit(follow)


def _scale_tracking(run: FaultRun, replicas: int) -> None:
    """Returns when MLflow is gone; when it is to come back, at once."""
    scale = ("scale", f"deployment/{RELEASE}-mlflow", "-n", NAMESPACE, f"--replicas={replicas}")
    run.cluster.kubectl(*scale)
    if not replicas:
        eventually(
            "MLflow is gone",
            lambda: not _tracking_pods(run),
            deadline_s=_AWAY_DEADLINE_S,
            explain=lambda: explain(run.cluster, NAMESPACE),
        )


def _tracking_pods(run: FaultRun) -> list[dict[str, Any]]:
    return run.cluster.list("pods", NAMESPACE, "app.kubernetes.io/component=mlflow")


def _wait_for_reward_service(run: FaultRun) -> dict[str, Any]:
    """What it says of itself through the Service of the Ray head, asked from a rollout pod as any client would."""
    said: list[object] = ["nothing"]

    def ask() -> dict[str, Any] | None:
        try:
            answer = _ask_reward_service(run)
        except CommandError as error:
            # The pod, Ray or Ray Serve is starting.
            said.append(error)
            return None
        said.append(answer)
        is_loading = answer is None or any("problem" in model for model in answer["reward_models"].values())
        return None if is_loading else answer

    return eventually(
        "the reward service answers",
        ask,
        deadline_s=STAGE_DEADLINE_S,
        interval_s=2.0,
        explain=lambda: f"it said {said[-1]}\n{explain(run.cluster, NAMESPACE)}",
    )


def _ask_reward_service(run: FaultRun) -> dict[str, Any] | None:
    """None: there is no rollout pod yet."""
    pods = run.cluster.list("pods", NAMESPACE, "mimo.dev/stage=morl,mimo.dev/component=ray-rollout")
    if not pods:
        return None
    pod = pods[0]["metadata"]
    address = f"http://{pod['labels']['ray.io/cluster']}-head-svc:{REWARD_PORT}/healthz"
    ask = f"from urllib.request import urlopen; print(urlopen('{address}', timeout=20).read().decode())"
    python = ("exec", "-n", NAMESPACE, pod["name"], "--", "python", "-c")
    answer: dict[str, Any] = json.loads(run.cluster.kubectl(*python, ask))
    return answer


def _look_at_second_attempt(run: FaultRun, stage: str) -> None:
    run.wait(f"attempt 2 of {stage} runs", stage, attempt=2)
    run.steps.wait_for_step(stage, 1, attempt=2)
    with faults.held_rank(stage) if run.cluster.is_development else nullcontext():
        run.wait(f"the status shows how far attempt 2 of {stage} is", stage, attempt=2, has_progress=True)
        run.looks[stage] = look(run, NAMESPACE, PIPELINE, stage)


def _metrics_while_it_runs(run: FaultRun, stage: str) -> str:
    """The first that its pod shows; "" if it ended before."""
    while run.stage(stage)["state"] == "Running":
        text = metrics_of_running_stage(run.cluster, NAMESPACE, stage)
        if text:
            return text
        time.sleep(1.0)
    return ""
