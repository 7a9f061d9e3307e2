"""Tracking against a real MLflow server on SQLite, present, absent and coming back."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import pytest

from mimo_vl.config.storage import TrackingConfig
from mimo_vl.schema.manifest import ExitRecord
from mimo_vl.schema.verdict import AttemptEnd, AttemptVerdict
from mimo_vl.storage.attempts import conclude_attempt
from mimo_vl.storage.local import LocalStore
from mimo_vl.tracking import ModelVersion, RunStatus, build_tracker, replay_journals
from mimo_vl.tracking.rest import MlflowRest
from mimo_vl.tracking.runs import ensure_experiment, ensure_parent_run

from .conftest import Server

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

RUN = "runs/local/demo/abcd1234"
DIGEST = "sha256:" + "ab" * 32
CONFIG = TrackingConfig(timeout_s=5.0, system_metrics_interval_s=0.0)
AWAY = "http://127.0.0.1:9"


def _tracker(store: LocalStore, uri: str, attempt: str, run: str = RUN, config: TrackingConfig = CONFIG) -> Any:
    journal = store.local_path(f"{attempt}/journal")
    assert journal is not None
    return build_tracker(config, uri=uri, store=store, impatient=store, run=run, attempt=attempt, journal_dir=journal)


def _log_everything(tracker: Any, store: LocalStore, attempt: str) -> None:
    tracker.start("long-context-sft-1", {"seed": "7"}, {"mimo.stage_key": "sha256:k"})
    tracker.log_input("curate", store.uri("runs/local/demo/abcd1234/curate/attempt-1"), DIGEST)
    for step in range(5):
        tracker.log_metrics({"train/loss": 5.0 - step, "train/grad_norm": math.inf}, step)
    uri = store.uri(f"{attempt}/output/model")
    tracker.register_model(ModelVersion(name="mimo-vl-tiny", uri=uri, digest=DIGEST, alias="sft", card="# Card"))
    tracker.finish(RunStatus.FINISHED)


def _state(rest: MlflowRest, run_id: str) -> dict[str, Any]:
    """What the server holds of a run, in a comparable form."""
    run = rest.get("runs/get", run_id=run_id)["run"]
    history = rest.get("metrics/get-history", run_id=run_id, metric_key="train/loss").get("metrics", [])
    versions = rest.get("model-versions/search", filter="name='mimo-vl-tiny'").get("model_versions", [])
    return {
        "status": run["info"]["status"],
        "params": run["data"].get("params", []),
        "parent": [t["value"] for t in run["data"]["tags"] if t["key"] == "mlflow.parentRunId"],
        "losses": sorted((m["step"], m["value"], m["timestamp"]) for m in history),
        "inputs": [
            (d["dataset"]["name"], json.loads(d["dataset"]["source"]))
            for d in run.get("inputs", {}).get("dataset_inputs", [])
        ],
        "models": [(v["version"], v["source"], v.get("aliases")) for v in versions],
    }


def test_a_run_arrives_whole_and_a_replay_of_its_journal_changes_nothing(server: Server, tmp_path: Path) -> None:
    store, attempt = LocalStore(tmp_path), f"{RUN}/long-context-sft/attempt-1"
    tracker = _tracker(store, server.uri, attempt)
    _log_everything(tracker, store, attempt)

    rest = MlflowRest(server.uri, timeout_s=5.0)
    first = _state(rest, tracker.run_id)
    assert first["status"] == "FINISHED"
    assert first["params"] == [{"key": "seed", "value": "7"}]
    assert [(step, value) for step, value, _ in first["losses"]] == [(0, 5.0), (1, 4.0), (2, 3.0), (3, 2.0), (4, 1.0)]
    assert first["parent"] == [json.loads((tmp_path / RUN / "tracking.json").read_text())["run_id"]]
    uri = store.uri("runs/local/demo/abcd1234/curate/attempt-1")
    assert first["inputs"] == [("curate", {"uri": uri, "digest": DIGEST})]
    source = "mimo-store://local/demo/abcd1234/long-context-sft/attempt-1/output/model"
    assert [m[1] for m in first["models"]] == [source]
    alias = rest.get("registered-models/alias", name="mimo-vl-tiny", alias="sft")["model_version"]
    assert alias["source"] == source
    assert {t["key"]: t["value"] for t in alias["tags"]}["mimo.digest"] == DIGEST
    assert alias["description"] == "# Card"

    assert replay_journals(CONFIG, uri=server.uri, store=store, run=RUN).num_sent == 0
    (tmp_path / attempt / "journal/sent.json").unlink()
    assert replay_journals(CONFIG, uri=server.uri, store=store, run=RUN).num_sent == 9
    assert _state(rest, tracker.run_id) == first


def test_an_unreachable_server_costs_no_metric(server: Server, tmp_path: Path) -> None:
    run = "runs/local/demo/away0000"
    store, attempt = LocalStore(tmp_path), f"{run}/projector-warmup/attempt-1"
    tracker = _tracker(store, AWAY, attempt, run)
    started_s = time.monotonic()
    tracker.start("projector-warmup-1", {}, {})
    for step in range(700):
        tracker.log_metrics({"train/loss": float(step)}, step)
    logged_ms = time.time_ns() // 1_000_000
    tracker.finish(RunStatus.FINISHED)
    assert time.monotonic() - started_s < 12.0
    assert tracker.run_id == ""
    assert replay_journals(CONFIG, uri=AWAY, store=store, run=run).num_kept == 702

    assert replay_journals(CONFIG, uri=server.uri, store=store, run=run).num_sent == 702
    rest = MlflowRest(server.uri, timeout_s=5.0)
    parent = json.loads((tmp_path / run / "tracking.json").read_text())
    body = {"experiment_ids": [parent["experiment_id"]], "filter": "tags.`mimo.run_id` = 'local/demo/away0000'"}
    children = [
        r["info"]["run_id"] for r in rest.post("runs/search", body)["runs"] if r["info"]["run_id"] != parent["run_id"]
    ]
    assert len(children) == 1
    history = _state(rest, children[0])["losses"]
    assert [value for _, value, _ in history] == [float(step) for step in range(700)]
    # Original times, not those of the replay.
    assert max(time_ms for _, _, time_ms in history) <= logged_ms


def test_a_server_that_stops_in_the_middle_gets_the_rest_when_it_is_back(server: Server, tmp_path: Path) -> None:
    run = "runs/local/demo/gone0000"
    store, attempt = LocalStore(tmp_path), f"{run}/morl/attempt-1"
    tracker = _tracker(store, server.uri, attempt, run, TrackingConfig(timeout_s=1.0, system_metrics_interval_s=0.0))
    tracker.start("morl-1", {}, {})
    tracker.log_metrics({"train/loss": 1.0}, 0)
    deadline_s = time.monotonic() + 30
    while not tracker.run_id and time.monotonic() < deadline_s:
        time.sleep(0.1)
    server.stop()
    for step in range(1, 50):
        tracker.log_metrics({"train/loss": 1.0}, step)
    tracker.finish(RunStatus.FINISHED)
    assert not (tmp_path / attempt / "journal/sent.json").exists()

    server.start()
    assert replay_journals(CONFIG, uri=server.uri, store=store, run=run).num_sent == 52
    state = _state(MlflowRest(server.uri, timeout_s=5.0), tracker.run_id)
    assert [step for step, _, _ in state["losses"]] == list(range(50))
    assert state["status"] == "FINISHED"


def test_two_stages_that_start_together_agree_on_one_parent_run(server: Server, tmp_path: Path) -> None:
    class LateStore(LocalStore):
        """Does not see tracking.json the first time, like a process that looked just before the other one wrote."""

        has_looked = False

        def get_bytes(self, key: str) -> tuple[bytes, str]:
            if key.endswith("tracking.json") and not self.has_looked:
                self.has_looked = True
                return LocalStore(tmp_path / "empty").get_bytes(key)
            return super().get_bytes(key)

    run = "runs/local/demo/race0000"
    rest = MlflowRest(server.uri, timeout_s=5.0)
    experiment_id = ensure_experiment(rest, "race")
    first = ensure_parent_run(rest, LocalStore(tmp_path / "store"), run, experiment_id)
    assert ensure_parent_run(rest, LateStore(tmp_path / "store"), run, experiment_id) == first
    body = {"experiment_ids": [experiment_id], "filter": "tags.`mimo.run_id` = 'local/demo/race0000'"}
    assert [r["info"]["run_id"] for r in rest.post("runs/search", body)["runs"]] == [first]


def test_a_parent_run_that_the_server_forgot_is_made_anew(server: Server, tmp_path: Path) -> None:
    run = "runs/local/demo/old00000"
    store = LocalStore(tmp_path)
    store.put_bytes(f"{run}/tracking.json", b'{"run_id": "00000000000000000000000000000000"}')
    rest = MlflowRest(server.uri, timeout_s=5.0)
    parent = ensure_parent_run(rest, store, run, ensure_experiment(rest, "forgotten"))
    assert parent != "0" * 32
    assert json.loads(store.get_bytes(f"{run}/tracking.json")[0])["run_id"] == parent


def test_a_killed_attempt_is_ended_by_the_replay(server: Server, tmp_path: Path) -> None:
    run = "runs/local/demo/kill0000"
    store, attempt = LocalStore(tmp_path), f"{run}/base/attempt-1"
    tracker = _tracker(store, "", attempt, run)
    tracker.start("base-1", {}, {})
    tracker.log_metrics({"train/loss": 2.0}, 1)
    # The process is killed while it writes its next line.
    chunk = next((tmp_path / attempt / "journal").glob("chunk-*"))
    chunk.write_bytes(chunk.read_bytes() + b'{"kind":"metr')
    # Start, metrics, and the end that nobody wrote.
    assert replay_journals(CONFIG, uri=server.uri, store=store, run=run).num_sent == 3
    rest = MlflowRest(server.uri, timeout_s=5.0)
    experiment = ensure_experiment(rest, CONFIG.experiment)
    body = {"experiment_ids": [experiment], "filter": "tags.`mimo.run_id` = 'local/demo/kill0000'"}
    statuses = sorted(r["info"]["status"] for r in rest.post("runs/search", body)["runs"])
    assert statuses == ["KILLED", "RUNNING"]


def test_an_attempt_that_failed_because_a_rank_was_lost_says_what_its_controller_saw(
    server: Server, tmp_path: Path
) -> None:
    run = "runs/local/demo/rank0000"
    store, attempt = LocalStore(tmp_path), f"{run}/base/attempt-1"
    tracker = _tracker(store, server.uri, attempt, run)
    tracker.start("base-1", {}, {})
    tracker.finish(RunStatus.FAILED, reason="RuntimeError", message="Connection closed by peer")
    record = ExitRecord(exit_code=1, reason="RuntimeError", message="Connection closed by peer")
    store.put_bytes(f"{attempt}/exit.json", record.to_json())
    # The other node's pod told the controller.
    verdict = AttemptVerdict(state=AttemptEnd.KILLED, reason="Killed", message="rank 1 was ended by SIGABRT")
    conclude_attempt(store, attempt, verdict)
    for num_sent in (3, 0):
        assert replay_journals(CONFIG, uri=server.uri, store=store, run=run).num_sent == num_sent
    rest = MlflowRest(server.uri, timeout_s=5.0)
    experiment = ensure_experiment(rest, CONFIG.experiment)
    filtered = "tags.`mimo.message` = 'rank 1 was ended by SIGABRT' and attributes.status = 'KILLED'"
    [found] = rest.post("runs/search", {"experiment_ids": [experiment], "filter": filtered})["runs"]
    assert found["info"]["run_name"] == "base-1"


def test_a_pipeline_runs_as_long_as_one_of_its_attempts_does(server: Server, tmp_path: Path) -> None:
    run, store = "runs/local/demo/both0000", LocalStore(tmp_path)
    trackers = [_tracker(store, server.uri, f"{run}/reward-model-{kind}/attempt-1", run) for kind in ("text", "vision")]
    for tracker in trackers:
        tracker.start("reward-model", {}, {})
        tracker.describe_pipeline("seed: 1\n", {})
    deadline_s = time.monotonic() + 60
    while not all(tracker.run_id for tracker in trackers):
        assert time.monotonic() < deadline_s
        time.sleep(0.1)
    rest = MlflowRest(server.uri, timeout_s=5.0)
    parent = json.loads((tmp_path / run / "tracking.json").read_text())["run_id"]

    def status() -> str:
        return str(rest.get("runs/get", run_id=parent)["run"]["info"]["status"])

    trackers[0].finish(RunStatus.FAILED, reason="OOMKilled", message="no memory")
    assert status() == "RUNNING"
    trackers[1].finish(RunStatus.FINISHED)
    assert status() == "FAILED"
