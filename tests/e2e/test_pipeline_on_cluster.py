"""The short pipeline on a real cluster, with three faults on the way: everything succeeds, nothing runs twice.

MIMO_E2E_KEEP=1 keeps the namespace afterwards. MIMO_E2E_REUSE=1 asks the run that an earlier call has kept, without
installing or running anything; what only a watch over the whole run can tell is skipped then.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mimo_vl.schema.manifest import InputRef, Manifest
from mimo_vl.storage.artifacts import read_manifest
from mimo_vl.storage.checkpoints import complete_steps
from mimo_vl.storage.layout import CHECKPOINTS_DIR, attempt_prefix, join, node_log_key
from tests.e2e import faults
from tests.e2e.kube import Cluster, eventually
from tests.e2e.pod_watch import PodWatch
from tests.e2e.port_forward import open_release_store
from tests.e2e.release import RELEASE, ROOT, delete_namespace, explain, install, make_namespace
from tests.e2e.shown_metrics import metrics_of_running_stage, read_metrics, value_of
from tests.e2e.tracking_server import open_tracking

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

NAMESPACE, PIPELINE = "mimo-e2e", "demo-ci"
# On two cores; a single stage takes a minute or less.
STAGE_DEADLINE_S = 600.0
TORCH_STAGES = (
    "projector-warmup",
    "vision-language-alignment",
    "multimodal-pretraining",
    "long-context-sft",
    "reward-model-text",
    "reward-model-multimodal",
)
JOB_STAGES = ("base", "curate", "curate-rl", "evaluate", "finalize")
# Alias in the registry -> stage whose model it is.
MODELS = {
    "sft": "long-context-sft",
    "rl": "morl",
    "reward-text": "reward-model-text",
    "reward-multimodal": "reward-model-multimodal",
}
# Weights of these are the same wherever they are trained with the same ranks and threads.
COMPARED = (
    "base",
    "curate",
    "projector-warmup",
    "vision-language-alignment",
    "multimodal-pretraining",
    "long-context-sft",
)


@dataclass
class Run:
    cluster: Cluster
    watch: PodWatch
    objects: dict[str, set[str]]
    """Kind -> names of leaf jobs that were seen."""
    notes: dict[str, Any]

    def pipeline(self) -> dict[str, Any]:
        found = self.cluster.get("mimopipelines", PIPELINE, NAMESPACE)
        assert found is not None
        return found

    def stage(self, name: str) -> dict[str, Any]:
        stages = self.pipeline().get("status", {}).get("stages", [])
        return next((s for s in stages if s["name"] == name), {"name": name, "state": "Pending", "attempt": 0})

    def note_objects(self) -> None:
        for kind in ("jobs", "pytorchjobs", "rayjobs"):
            for item in self.cluster.list(kind, NAMESPACE, "mimo.dev/stage"):
                self.objects.setdefault(kind, set()).add(item["metadata"]["labels"]["mimo.dev/stage"])

    def wait(self, what: str, stage: str, *, step: int = 0, ended: bool = False) -> None:
        """Until the stage runs and has done `step` steps, or has succeeded."""

        def probe() -> bool:
            self.note_objects()
            now = self.stage(stage)
            if now["state"] == "Failed" or self.pipeline().get("status", {}).get("phase") == "Failed":
                pytest.fail(f"{stage}: {now}\n{explain(self.cluster, NAMESPACE)}")
            if ended:
                return bool(now["state"] == "Succeeded")
            progress = now.get("progress") or {}
            return bool(now["state"] == "Running" and progress.get("step", 0) >= step)

        eventually(
            what, probe, deadline_s=STAGE_DEADLINE_S, interval_s=1.0, explain=lambda: explain(self.cluster, NAMESPACE)
        )


@pytest.fixture(scope="module")
def run(cluster: Cluster) -> Iterator[Run]:
    if os.environ.get("MIMO_E2E_REUSE"):
        reused = Run(cluster, PodWatch(cluster, NAMESPACE), {}, {})
        reused.note_objects()
        yield reused
        return
    delete_namespace(cluster, NAMESPACE)
    make_namespace(cluster, NAMESPACE)
    install(cluster, NAMESPACE)
    cluster.kubectl("apply", "-n", NAMESPACE, "-f", str(ROOT / "examples/demo-ci.yaml"))
    with PodWatch(cluster, NAMESPACE) as watch:
        current = Run(cluster, watch, {}, {})
        _drive(current)
        yield current
    if not os.environ.get("MIMO_E2E_KEEP"):
        delete_namespace(cluster, NAMESPACE)


@pytest.fixture
def watched(run: Run) -> Run:
    """A run that this call has followed from its start."""
    if run.watch.num_polls == 0:
        pytest.skip("MIMO_E2E_REUSE: nobody watched the pods of this run")
    return run


def _drive(run: Run) -> None:
    """The pipeline from start to end, with the three faults."""
    run.wait("stage 3 trains", "multimodal-pretraining", step=6)
    worker = "mimo.dev/stage=multimodal-pretraining,training.kubeflow.org/replica-type=worker"
    run.notes["lost_worker"] = faults.lose_pod(run.cluster, NAMESPACE, worker)
    run.wait("RL data is curated", "curate-rl")
    run.notes["before_operator_kill"] = {s["name"]: s["attempt"] for s in run.pipeline()["status"]["stages"]}
    run.notes["killed_operators"] = faults.kill_operator(run.cluster, NAMESPACE)
    run.wait("MORL has started", "morl")
    _wait_for_saved_step(run, "morl", 1)
    head = "mimo.dev/stage=morl,mimo.dev/component=ray-head"
    run.notes["lost_head"] = faults.lose_pod(run.cluster, NAMESPACE, head)
    run.wait("morl succeeds", "morl", ended=True)
    run.wait("evaluation has started", "evaluate")
    run.notes["live_metrics"] = _metrics_while_it_runs(run, "evaluate")
    for stage in ("evaluate", "finalize"):
        run.wait(f"{stage} succeeds", stage, ended=True)


def _metrics_while_it_runs(run: Run, stage: str) -> str:
    """The first that its pod shows; "" if it ended before."""
    while run.stage(stage)["state"] == "Running":
        text = metrics_of_running_stage(run.cluster, NAMESPACE, stage)
        if text:
            return text
        time.sleep(1.0)
    return ""


def _wait_for_saved_step(run: Run, stage: str, step: int) -> None:
    """By the store, which knows seconds before the status does: the fault is to come between two steps."""
    with open_release_store(run.cluster, NAMESPACE) as store:
        folder = join(attempt_prefix(_run_id(run), stage, run.stage(stage)["attempt"]), CHECKPOINTS_DIR)
        eventually(
            f"{stage} has saved step {step}",
            lambda: max(complete_steps(store, folder), default=0) >= step,
            deadline_s=STAGE_DEADLINE_S,
            explain=lambda: explain(run.cluster, NAMESPACE),
        )


def test_every_stage_succeeded(run: Run) -> None:
    status = run.pipeline()["status"]
    assert {s["name"]: s["state"] for s in status["stages"]} == dict.fromkeys(
        (*JOB_STAGES, *TORCH_STAGES, "morl"), "Succeeded"
    )
    assert status["phase"] == "Succeeded"


def test_each_stage_ran_on_its_own_kind_of_object(run: Run) -> None:
    assert run.objects["pytorchjobs"] >= set(TORCH_STAGES)
    assert run.objects["rayjobs"] == {"morl"}
    assert run.objects["jobs"] >= set(JOB_STAGES)


def test_pods_are_two_per_training_stage_and_a_head_with_three_groups_for_ray(watched: Run) -> None:
    for stage in TORCH_STAGES:
        first = watched.watch.attempts(stage)[1]
        assert len({p.name for p in first}) == 2, stage
    names = {p.name for pods in watched.watch.attempts("morl").values() for p in pods}
    for group in ("head", "trainer", "rollout", "reward"):
        assert any(group in name for name in names), f"no pod of group {group} in {sorted(names)}"


def test_only_the_stages_that_lost_a_pod_have_a_second_attempt(run: Run) -> None:
    attempts = {s["name"]: s["attempt"] for s in run.pipeline()["status"]["stages"]}
    assert attempts == {**dict.fromkeys(attempts, 1), "multimodal-pretraining": 2, "morl": 2}


def test_the_operator_was_killed_and_no_finished_stage_ran_again(watched: Run) -> None:
    assert watched.notes["killed_operators"]
    before, after = watched.notes["before_operator_kill"], watched.pipeline()["status"]["stages"]
    finished = {name: attempt for name, attempt in before.items() if attempt and name != "curate-rl"}
    assert finished
    assert {s["name"]: s["attempt"] for s in after if s["name"] in finished} == finished


def test_no_two_attempts_of_a_stage_overlap(watched: Run) -> None:
    assert watched.watch.num_polls > 20
    assert watched.watch.overlaps() == []


def test_a_lost_pod_costs_only_the_steps_after_the_checkpoint(run: Run) -> None:
    for name in ("multimodal-pretraining", "morl"):
        stage = run.stage(name)
        assert 0 < stage["resumeStep"] < stage["progress"]["total"], stage


@pytest.mark.usefixtures("devcluster_only")
def test_digests_up_to_sft_equal_those_of_one_machine(run: Run) -> None:
    folder = Path(os.environ.get("MIMO_DEMO_CI_DIR", ROOT / "runs/demo-ci"))
    state = folder / "pipeline.json"
    if not state.is_file():
        pytest.skip(f"no run of `make demo-ci` in {folder} to compare with")
    local = {s["name"]: s["digest"] for s in json.loads(state.read_text())["status"]["stages"]}
    remote = {s["name"]: s["digest"] for s in run.pipeline()["status"]["stages"]}
    assert {n: remote[n] for n in COMPARED} == {n: local[n] for n in COMPARED}


def _run_id(run: Run) -> str:
    return f"{NAMESPACE}/{PIPELINE}/{run.pipeline()['metadata']['uid'][:8]}"


def _manifests(run: Run) -> dict[str, Manifest]:
    """Of every stage, out of the store, each checked against the digest in the status."""
    with open_release_store(run.cluster, NAMESPACE) as store:
        found = {}
        for stage in run.pipeline()["status"]["stages"]:
            prefix = attempt_prefix(_run_id(run), stage["name"], stage["attempt"])
            assert stage["outputUri"] == store.uri(prefix)
            found[stage["name"]] = read_manifest(store, prefix, expected_digest=stage["digest"])
    return found


def test_every_manifest_names_its_inputs_by_digest(run: Run) -> None:
    manifests, pipeline = _manifests(run), run.pipeline()
    keys = {s["name"]: s["key"] for s in pipeline["status"]["stages"]}
    made = {s["name"]: InputRef(uri=s["outputUri"], digest=s["digest"]) for s in pipeline["status"]["stages"]}
    assert set(manifests) == {*JOB_STAGES, *TORCH_STAGES, "morl"}
    for stage in pipeline["spec"]["stages"]:
        manifest = manifests[stage["name"]]
        assert manifest.inputs == {name: made[name] for name in stage.get("dependsOn", [])}, stage["name"]
        assert (manifest.run_id, manifest.stage_key) == (_run_id(run), keys[stage["name"]])
        assert manifest.config_digest.startswith("sha256:"), stage["name"]
        assert manifest.code_digest == pipeline["status"]["runtime"]["codeDigest"]
        assert manifest.files, stage["name"]


def test_the_four_models_are_registered_with_their_digests(run: Run) -> None:
    digests = {s["name"]: s["digest"] for s in run.pipeline()["status"]["stages"]}
    uris = {s["name"]: s["outputUri"] for s in run.pipeline()["status"]["stages"]}
    with open_tracking(run.cluster, NAMESPACE) as tracking:
        aliases = tracking.aliases("mimo-vl-tiny")
    assert set(aliases) == set(MODELS)
    for alias, stage in MODELS.items():
        tags = {t["key"]: t["value"] for t in aliases[alias]["tags"]}
        assert tags["mimo.digest"] == digests[stage]
        assert aliases[alias]["source"].startswith(uris[stage])


def test_the_pipeline_is_one_tracked_run_with_a_child_per_attempt_that_reported(run: Run) -> None:
    stages = {s["name"]: str(s["attempt"]) for s in run.pipeline()["status"]["stages"]}
    with open_tracking(run.cluster, NAMESPACE) as tracking:
        found = tracking.runs(_run_id(run))
    [parent] = [r for r in found if not r.parent_id]
    assert parent.status == "FINISHED"
    assert parent.run_id in run.pipeline()["status"]["mlflow"]
    children = [r for r in found if r.parent_id]
    assert {r.parent_id for r in children} == {parent.run_id}
    last = {r.tags["mimo.stage"]: r for r in children if r.tags["mimo.attempt"] == stages[r.tags["mimo.stage"]]}
    assert {name: r.status for name, r in last.items()} == dict.fromkeys(stages, "FINISHED")


def test_a_running_stage_shows_its_metrics_where_its_pod_says(watched: Run) -> None:
    labels = {"mimo_namespace": NAMESPACE, "mimo_pipeline": PIPELINE, "stage": "evaluate", "attempt": "1"}
    started_s = value_of(watched.notes["live_metrics"], "mimo_stage_start_time_seconds", labels)
    assert started_s is not None
    assert started_s > 1.7e9


def test_the_operator_shows_what_ended_stages_left(run: Run) -> None:
    text = read_metrics(run.cluster, NAMESPACE, f"svc/{RELEASE}-operator", 8081)
    pipeline = {"mimo_namespace": NAMESPACE, "mimo_pipeline": PIPELINE}
    manifests = _manifests(run)
    for stage in ("projector-warmup", "multimodal-pretraining"):
        attempt = str(manifests[stage].attempt)
        labels = {**pipeline, "stage": stage, "attempt": attempt, "part": ""}
        assert value_of(text, "mimo_train_loss", labels) == manifests[stage].metrics["train/loss"]
    assert value_of(text, "mimo_pipeline_stage_attempt", {**pipeline, "stage": "morl"}) == 2
    assert value_of(text, "mimo_pipeline_stage_state", {**pipeline, "stage": "morl", "state": "Succeeded"}) == 1
    score = {**pipeline, "stage": "evaluate", "part": "rl/counting"}
    assert (
        value_of(text, "mimo_evaluation_score", score) == manifests["evaluate"].metrics["evaluation/score/rl/counting"]
    )


def test_logs_of_the_nodes_are_in_the_store(run: Run) -> None:
    with open_release_store(run.cluster, NAMESPACE) as store:
        for stage, attempt, node in (("base", 1, 0), ("multimodal-pretraining", 2, 1), ("morl", 2, 0)):
            text, _ = store.get_bytes(node_log_key(attempt_prefix(_run_id(run), stage, attempt), node))
            assert text.strip(), f"{stage}: the log of node {node} is empty"


def _mimo(run: Run, *arguments: str) -> str:
    return run.cluster.run(sys.executable, "-m", "jobs.cli", *arguments, "--pipeline", PIPELINE, "-n", NAMESPACE)


def test_mimo_status_shows_every_stage(run: Run) -> None:
    found = json.loads(_mimo(run, "status", "--output", "json"))
    assert {s["name"]: s["state"] for s in found["status"]["stages"]} == dict.fromkeys(
        (*JOB_STAGES, *TORCH_STAGES, "morl"), "Succeeded"
    )
    table = _mimo(run, "status")
    assert f"{_run_id(run)}  Succeeded" in table
    assert table.count("Succeeded") == len(found["status"]["stages"]) + 1
    assert "MLflow: http" in table


def test_mimo_reads_the_store_through_a_forwarded_port_with_the_named_secret(run: Run, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    found = json.loads(_mimo(run, "report", "--to", str(page), "--output", "json"))
    attempts = {s["name"]: [a["state"] for a in s["attempts"]] for s in found["stages"]}
    assert {states[-1] for states in attempts.values()} == {"Succeeded"}
    # The faults of this run: what was killed is told beside what succeeded.
    assert any(len(states) > 1 for states in attempts.values())
    assert "<svg" in page.read_text()
    checked = json.loads(_mimo(run, "artifacts", "verify", "--stage", "base", "--output", "json"))
    assert [(a["stage"], a["problem"]) for a in checked] == [("base", "")]
    lineage = json.loads(_mimo(run, "lineage", "--output", "json"))
    assert {a["name"] for a in lineage["artifacts"]} >= {"base", "curate", "morl"}


def test_mimo_logs_prints_what_the_pod_wrote(run: Run) -> None:
    digest = next(s["digest"] for s in run.pipeline()["status"]["stages"] if s["name"] == "base")
    assert f"digest={digest}" in _mimo(run, "logs", "base")
