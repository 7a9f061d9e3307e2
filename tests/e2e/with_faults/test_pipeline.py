"""The short pipeline on a real cluster, with faults on the way: everything succeeds, nothing runs twice."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from mimo_vl.schema.manifest import InputRef, Manifest
from mimo_vl.storage.artifacts import read_manifest
from mimo_vl.storage.layout import attempt_prefix, node_log_key
from tests.e2e.port_forward import forward_release_store, open_release_store
from tests.e2e.release import RELEASE, ROOT
from tests.e2e.shown_metrics import read_metrics, value_of
from tests.e2e.tracking_server import open_tracking
from tests.e2e.with_faults.drive import CRASHED, LOST, NAMESPACE, PIPELINE, FaultRun
from tests.registered_model import answer_by_mlflow, answer_by_transformers, asking

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

TORCH_STAGES = (
    "projector-warmup",
    "vision-language-alignment",
    "multimodal-pretraining",
    "long-context-sft",
    "reward-model-text",
    "reward-model-multimodal",
)
JOB_STAGES = ("base", "curate", "curate-rl", "evaluate", "finalize")
# The trainer of MORL has two threads on one machine and one in its pod, which rounds sums differently.
_OTHER_THREADS = {"morl", "evaluate", "finalize"}
# Alias in the registry -> stage whose model it is.
MODELS = {
    "sft": "long-context-sft",
    "rl": "morl",
    "reward-text": "reward-model-text",
    "reward-multimodal": "reward-model-multimodal",
}


def test_every_stage_succeeded(run: FaultRun) -> None:
    status = run.pipeline()["status"]
    assert {s["name"]: s["state"] for s in status["stages"]} == dict.fromkeys(
        (*JOB_STAGES, *TORCH_STAGES, "morl"), "Succeeded"
    )
    assert status["phase"] == "Succeeded"


def test_each_stage_ran_on_its_own_kind_of_object(run: FaultRun) -> None:
    assert run.objects["pytorchjobs"] >= set(TORCH_STAGES)
    assert run.objects["rayjobs"] == {"morl"}
    assert run.objects["jobs"] >= set(JOB_STAGES)


def test_pods_are_two_per_training_stage_and_a_head_with_three_groups_for_ray(watched: FaultRun) -> None:
    for stage in TORCH_STAGES:
        first = watched.watch.attempts(stage)[1]
        assert len({p.name for p in first}) == 2, stage
    names = {p.name for pods in watched.watch.attempts("morl").values() for p in pods}
    for group in ("head", "trainer", "rollout", "reward"):
        assert any(group in name for name in names), f"no pod of group {group} in {sorted(names)}"


def test_only_the_stages_that_lost_a_pod_or_a_rank_have_a_second_attempt(run: FaultRun) -> None:
    attempts = {s["name"]: s["attempt"] for s in run.pipeline()["status"]["stages"]}
    hurt = [LOST, "morl", *([CRASHED] if run.cluster.is_development else [])]
    assert attempts == {**dict.fromkeys(attempts, 1), **dict.fromkeys(hurt, 2)}


def test_the_operator_was_killed_and_no_finished_stage_ran_again(watched: FaultRun) -> None:
    assert watched.notes["killed_operators"]
    before, after = watched.notes["before_operator_kill"], watched.pipeline()["status"]["stages"]
    finished = {name: attempt for name, attempt in before.items() if attempt and name != "curate-rl"}
    assert finished
    assert {s["name"]: s["attempt"] for s in after if s["name"] in finished} == finished


def test_no_two_attempts_of_a_stage_overlap(watched: FaultRun) -> None:
    assert watched.watch.num_events > 20
    assert watched.watch.overlaps() == []


def test_a_fault_costs_only_the_steps_after_the_checkpoint(run: FaultRun) -> None:
    for name in (LOST, "morl", *([CRASHED] if run.cluster.is_development else [])):
        stage = run.stage(name)
        assert 0 < stage["resumeStep"] < stage["progress"]["total"], stage


@pytest.mark.usefixtures("devcluster_only")
def test_every_digest_up_to_rl_equals_that_of_one_machine(run: FaultRun) -> None:
    """Also of what was trained in two attempts: the ranks and threads are the same, and nothing else is in a result."""
    folder = Path(os.environ.get("MIMO_DEMO_CI_DIR", ROOT / "runs/demo-ci"))
    state = folder / "pipeline.json"
    if not state.is_file():
        pytest.skip(f"no run of `make demo-ci` in {folder} to compare with")
    local = {s["name"]: s["digest"] for s in json.loads(state.read_text())["status"]["stages"]}
    remote = {s["name"]: s["digest"] for s in run.pipeline()["status"]["stages"]}
    assert set(remote) == set(local) == {*JOB_STAGES, *TORCH_STAGES, "morl"}
    compared = set(remote) - _OTHER_THREADS
    assert len(compared) == 9
    assert {name: remote[name] for name in compared} == {name: local[name] for name in compared}


def _manifests(run: FaultRun) -> dict[str, Manifest]:
    """Of every stage, out of the store, each checked against the digest in the status."""
    with open_release_store(run.cluster, NAMESPACE) as store:
        found = {}
        for stage in run.pipeline()["status"]["stages"]:
            prefix = attempt_prefix(run.run_id, stage["name"], stage["attempt"])
            assert stage["outputUri"] == store.uri(prefix)
            found[stage["name"]] = read_manifest(store, prefix, expected_digest=stage["digest"])
    return found


def test_every_manifest_names_its_inputs_by_digest(run: FaultRun) -> None:
    manifests, pipeline = _manifests(run), run.pipeline()
    keys = {s["name"]: s["key"] for s in pipeline["status"]["stages"]}
    made = {s["name"]: InputRef(uri=s["outputUri"], digest=s["digest"]) for s in pipeline["status"]["stages"]}
    assert set(manifests) == {*JOB_STAGES, *TORCH_STAGES, "morl"}
    for stage in pipeline["spec"]["stages"]:
        manifest = manifests[stage["name"]]
        assert manifest.inputs == {name: made[name] for name in stage.get("dependsOn", [])}, stage["name"]
        assert (manifest.run_id, manifest.stage_key) == (run.run_id, keys[stage["name"]])
        assert manifest.config_digest.startswith("sha256:"), stage["name"]
        assert manifest.code_digest == pipeline["status"]["runtime"]["codeDigest"]
        assert manifest.files, stage["name"]


def test_lineage_names_the_image_that_every_stage_ran(run: FaultRun) -> None:
    manifests, status = _manifests(run), run.pipeline()["status"]
    assert set(manifests) == {s["name"] for s in status["stages"]}
    for stage in status["stages"]:
        kind = "rollout" if stage["name"] == "morl" else "trainer"
        named, image = status["runtime"]["imageDigests"][kind], manifests[stage["name"]].image
        # By digest from the attempt on whose node has told one; an imported image has none.
        repository, at, _ = named.partition("@")
        assert image == named or (at and image.rpartition(":")[0] == repository), stage["name"]
        assert "sha256:" in stage["imageId"], stage


def test_the_four_models_are_registered_with_their_digests(run: FaultRun) -> None:
    digests = {s["name"]: s["digest"] for s in run.pipeline()["status"]["stages"]}
    uris = {s["name"]: s["outputUri"] for s in run.pipeline()["status"]["stages"]}
    with open_tracking(run.cluster, NAMESPACE) as tracking:
        aliases = tracking.aliases("mimo-vl-tiny")
    assert set(aliases) == set(MODELS)
    for alias, stage in MODELS.items():
        tags = {t["key"]: t["value"] for t in aliases[alias]["tags"]}
        assert tags["mimo.digest"] == digests[stage]
        assert aliases[alias]["source"].startswith(uris[stage])


def test_the_rl_model_is_loaded_by_its_alias_out_of_the_bucket(
    run: FaultRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As docs/mlflow.md says: keys, and where the object store is."""
    from mlflow.artifacts import download_artifacts

    model, prompt = "models:/mimo-vl-tiny@rl", "How many circles are there?"
    with (
        open_tracking(run.cluster, NAMESPACE) as tracking,
        forward_release_store(run.cluster, NAMESPACE) as endpoint,
        asking(tracking.url),
    ):
        monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", f"http://{endpoint}")
        answer = answer_by_mlflow(model, prompt)
        folder = download_artifacts(model, dst_path=str(tmp_path / "model"))
    assert answer.strip()
    assert answer_by_transformers(Path(folder), prompt) == answer


def test_the_pipeline_is_one_tracked_run_with_a_child_per_attempt_that_reported(run: FaultRun) -> None:
    stages = {s["name"]: str(s["attempt"]) for s in run.pipeline()["status"]["stages"]}
    with open_tracking(run.cluster, NAMESPACE) as tracking:
        found = tracking.runs(run.run_id)
    [parent] = [r for r in found if not r.parent_id]
    assert parent.status == "FINISHED"
    assert parent.run_id in run.pipeline()["status"]["mlflow"]
    children = [r for r in found if r.parent_id]
    assert {r.parent_id for r in children} == {parent.run_id}
    last = {r.tags["mimo.stage"]: r for r in children if r.tags["mimo.attempt"] == stages[r.tags["mimo.stage"]]}
    assert {name: r.status for name, r in last.items()} == dict.fromkeys(stages, "FINISHED")


def test_the_reward_service_answers_through_its_service(watched: FaultRun) -> None:
    """Asked from another pod; both reward models are loaded, each with the version of its weights."""
    models = watched.notes["reward_service"]["reward_models"]
    assert set(models) == {"preference_text", "preference_multimodal"}
    assert [m for m in models.values() if not re.fullmatch("[0-9a-f]{12}", m.get("version", ""))] == []


def test_a_running_stage_shows_its_metrics_where_its_pod_says(watched: FaultRun) -> None:
    labels = {"mimo_namespace": NAMESPACE, "mimo_pipeline": PIPELINE, "stage": "evaluate", "attempt": "1"}
    started_s = value_of(watched.notes["live_metrics"], "mimo_stage_start_time_seconds", labels)
    assert started_s is not None
    assert started_s > 1.7e9


def test_the_operator_shows_what_ended_stages_left(run: FaultRun) -> None:
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


def test_logs_of_the_nodes_are_in_the_store(run: FaultRun) -> None:
    with open_release_store(run.cluster, NAMESPACE) as store:
        for stage, attempt, node in (("base", 1, 0), ("multimodal-pretraining", 2, 1), ("morl", 2, 0)):
            text, _ = store.get_bytes(node_log_key(attempt_prefix(run.run_id, stage, attempt), node))
            assert text.strip(), f"{stage}: the log of node {node} is empty"
