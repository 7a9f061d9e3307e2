"""Which requests entries become, with a server that is a list."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mimo_vl.storage.local import LocalStore
from mimo_vl.tracking.delivery import deliver, deliver_what_is_accepted
from mimo_vl.tracking.journal import JournalEntry, metrics_entry
from mimo_vl.tracking.mlflow import reason_tags
from mimo_vl.tracking.parent_end import KnownAttempt, ended_as
from mimo_vl.tracking.rest import MlflowRest, TrackingRejectedError, TrackingUnavailableError, without_credentials
from mimo_vl.tracking.runs import AttemptRun
from mimo_vl.tracking.tracker import RunStatus, Target


class FakeRest(MlflowRest):
    def __init__(self) -> None:
        super().__init__("http://user:secret@tracking:5000", timeout_s=1.0)
        self.posts: list[tuple[str, Mapping[str, Any]]] = []
        self.artifacts: dict[str, bytes] = {}
        self.tags: dict[str, dict[str, str]] = {}
        self.artifact_scheme = "mlflow-artifacts"
        self.status = "RUNNING"
        self.is_away = False
        self.children: dict[tuple[str, int], str] = {}
        """(stage, attempt) -> status."""

    def get(self, path: str, **query: str) -> dict[str, Any]:
        assert path == "runs/get"
        tags = [{"key": k, "value": v} for k, v in self.tags.get(query["run_id"], {}).items()]
        root = f"{self.artifact_scheme}:/1/{query['run_id']}/artifacts"
        info = {"artifact_uri": root, "status": self.status, "experiment_id": "1"}
        return {"run": {"info": info, "data": {"tags": tags}}}

    def put_artifact(self, path: str, data: bytes) -> None:
        self.artifacts[path] = data

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        if self.is_away:
            raise TrackingUnavailableError("away")
        if any(m["key"] == "bad name!" for m in body.get("metrics", ())):
            raise TrackingRejectedError("INVALID_PARAMETER_VALUE: bad name!", "INVALID_PARAMETER_VALUE")
        if path == "runs/search":
            return {"runs": [_child(*attempt, status) for attempt, status in self.children.items()]}
        self.posts.append((path, body))
        for tag in body.get("tags", ()) if path == "runs/log-batch" else ():
            self.tags.setdefault(body["run_id"], {})[tag["key"]] = tag["value"]
        return {}


def _child(stage: str, attempt: int, status: str) -> dict[str, Any]:
    tags = [{"key": "mimo.stage", "value": stage}, {"key": "mimo.attempt", "value": str(attempt)}]
    return {"info": {"status": status, "end_time": 9}, "data": {"tags": tags}}


@pytest.fixture
def run(tmp_path: Path) -> AttemptRun:
    run = AttemptRun(
        FakeRest(), LocalStore(tmp_path), experiment="e", run="runs/a/b/c", attempt="runs/a/b/c/s/attempt-1"
    )
    run.run_id, run.parent_run_id = "id", "parent"
    return run


def _posts(run: AttemptRun) -> list[tuple[str, Mapping[str, Any]]]:
    assert isinstance(run.rest, FakeRest)
    return run.rest.posts


def test_neighbouring_metrics_share_a_request_of_at_most_1000(run: AttemptRun) -> None:
    deliver(run, [metrics_entry({"a": 1.0, "b": 2.0}, step, step) for step in range(750)])
    assert [(path, len(body["metrics"])) for path, body in _posts(run)] == [
        ("runs/log-batch", 1000),
        ("runs/log-batch", 500),
    ]
    assert _posts(run)[0][1]["metrics"][3] == {"key": "b", "value": 2.0, "timestamp": 1, "step": 1}


def test_one_refused_entry_does_not_take_the_others_with_it(run: AttemptRun) -> None:
    entries = [metrics_entry({name: 1.0}, 0, 0) for name in ("a", "bad name!", "c")]
    assert deliver_what_is_accepted(run, entries) == 1
    assert [body["metrics"][0]["key"] for _, body in _posts(run)] == ["a", "c"]


def test_a_server_that_is_away_is_not_a_refusal(run: AttemptRun) -> None:
    assert isinstance(run.rest, FakeRest)
    run.rest.is_away = True
    with pytest.raises(TrackingUnavailableError):
        deliver_what_is_accepted(run, [metrics_entry({"a": 1.0}, 0, 0)])


def test_digests_are_cut_to_the_servers_column_and_kept_whole_in_the_source(run: AttemptRun) -> None:
    digest = "sha256:" + "ab" * 32
    deliver(run, [JournalEntry(kind="input", time_ms=1, name="curate", values={"uri": "file:///x", "digest": digest})])
    dataset = _posts(run)[0][1]["datasets"][0]["dataset"]
    assert dataset["digest"] == "ab" * 18
    assert digest in dataset["source"]


def test_a_model_outside_the_store_is_refused_and_told(run: AttemptRun) -> None:
    values = {"uri": "file:///elsewhere/model", "digest": "d", "alias": "sft"}
    entry = JournalEntry(kind="model", time_ms=1, name="m", values=values)
    assert deliver_what_is_accepted(run, [entry]) == 1
    assert _posts(run) == []


def test_credentials_are_no_part_of_the_shown_uri(run: AttemptRun) -> None:
    assert run.rest.uri == "http://tracking:5000"
    assert without_credentials("https://u:p@h:1/path/") == "https://h:1/path"
    assert without_credentials("") == ""


def _rest(run: AttemptRun) -> FakeRest:
    assert isinstance(run.rest, FakeRest)
    return run.rest


def test_a_curve_with_its_tokens_is_sent_on_both_axes(run: AttemptRun) -> None:
    values = {"loss": 2.0, "loss_ocr": 3.0, "grad_norm": 1.0, "train/tokens": 61_340.0}
    deliver(run, [metrics_entry(values, 40, 7)])
    [(_, body)] = _posts(run)
    rows = {(m["key"], m["step"], m["value"]) for m in body["metrics"]}
    assert rows == {
        ("loss", 40, 2.0),
        ("loss_ocr", 40, 3.0),
        ("grad_norm", 40, 1.0),
        ("train/tokens", 40, 61_340.0),
        ("loss_by_tokens", 61_340, 2.0),
        ("loss_ocr_by_tokens", 61_340, 3.0),
    }
    assert {m["timestamp"] for m in body["metrics"]} == {7}


def test_the_configuration_is_sent_once_to_the_parent_run(run: AttemptRun) -> None:
    text = "seed: 7\nrl: {num_steps: 3}\n"
    entry = JournalEntry(
        kind="config", time_ms=1, name="sha256:c", values={"config.yaml": text}, tags={"mimo.pipeline": "demo"}
    )
    deliver(run, [entry])
    assert _rest(run).artifacts == {"1/parent/artifacts/config.yaml": text.encode()}
    assert _rest(run).tags == {"parent": {"mimo.pipeline": "demo", "mimo.config_digest": "sha256:c"}}
    assert _posts(run)[1] == (
        "runs/log-batch",
        {"run_id": "parent", "params": [{"key": "rl.num_steps", "value": "3"}, {"key": "seed", "value": "7"}]},
    )
    num_posts = len(_posts(run))
    deliver(run, [entry])
    assert len(_posts(run)) == num_posts
    # The run in Kubeflow Pipelines was not known to the first attempt.
    deliver(run, [entry.model_copy(update={"tags": {"mimo.pipeline": "demo", "mimo.kfp_run": "run-1"}})])
    tag = {"key": "mimo.kfp_run", "value": "run-1"}
    assert _posts(run)[num_posts:] == [("runs/log-batch", {"run_id": "parent", "tags": [tag]})]


def test_tags_go_and_come(run: AttemptRun) -> None:
    deliver(run, [JournalEntry(kind="tags", time_ms=1, tags={"b": "2"}, values={"a": ""})])
    assert _posts(run) == [
        ("runs/log-batch", {"run_id": "id", "tags": [{"key": "b", "value": "2"}]}),
        ("runs/delete-tag", {"run_id": "id", "key": "a"}),
    ]


def _artifact(path: str, **values: str) -> JournalEntry:
    return JournalEntry(kind="artifact", time_ms=1, name=path, values=values)


def test_an_artifact_is_read_from_beside_the_journal_and_a_table_is_announced_once(run: AttemptRun) -> None:
    run.store.put_bytes("runs/a/b/c/s/attempt-1/journal/files/attempt/rollouts.json", b"{}")
    for _ in range(2):
        deliver(run, [_artifact("rollouts.json", is_table="true")])
    assert _rest(run).artifacts == {"1/id/artifacts/rollouts.json": b"{}"}
    tables = json.loads(_rest(run).tags["id"]["mlflow.loggedArtifacts"])
    assert tables == [{"path": "rollouts.json", "type": "table"}]


def test_an_artifact_that_has_not_reached_the_store_yet_is_read_from_the_node(run: AttemptRun, tmp_path: Path) -> None:
    run.files = tmp_path / "scratch"
    (run.files / "attempt").mkdir(parents=True)
    (run.files / "attempt" / "x.svg").write_bytes(b"<svg/>")
    assert deliver_what_is_accepted(run, [_artifact("x.svg")]) == 0
    assert _rest(run).artifacts == {"1/id/artifacts/x.svg": b"<svg/>"}


def test_a_server_that_is_no_artifact_proxy_refuses_artifacts_and_takes_all_else(run: AttemptRun) -> None:
    run.store.put_bytes("runs/a/b/c/s/attempt-1/journal/files/attempt/x.svg", b"<svg/>")
    _rest(run).artifact_scheme = "s3"
    assert deliver_what_is_accepted(run, [_artifact("x.svg"), metrics_entry({"a": 1.0}, 0, 0)]) == 1
    assert _rest(run).artifacts == {}
    assert [path for path, _ in _posts(run)] == ["runs/log-batch"]


def test_an_artifact_whose_file_is_gone_is_refused_and_told(run: AttemptRun) -> None:
    assert deliver_what_is_accepted(run, [_artifact("gone.svg")]) == 1


def test_an_end_with_a_reason_says_it_in_tags(run: AttemptRun) -> None:
    deliver(run, [JournalEntry(kind="finish", time_ms=9, name="FAILED", tags=reason_tags("OOMKilled", "no memory"))])
    assert _rest(run).tags["id"] == {"mimo.reason": "OOMKilled", "mimo.message": "no memory"}
    assert _posts(run)[-1] == ("runs/update", {"run_id": "id", "status": "FAILED", "end_time": 9})


def _updates(run: AttemptRun) -> list[tuple[str, str]]:
    return [(body["run_id"], body["status"]) for path, body in _posts(run) if path == "runs/update"]


def test_a_pipeline_is_as_failed_as_its_last_attempt_until_the_next_one_runs(run: AttemptRun) -> None:
    run.is_live = True
    _rest(run).children = {("s", 1): "KILLED"}
    deliver(run, [JournalEntry(kind="finish", time_ms=9, name="KILLED")])
    assert _updates(run) == [("id", "KILLED"), ("parent", "KILLED")]
    _rest(run).status = "KILLED"
    deliver(run, [JournalEntry(kind="config", time_ms=10, name="c", values={"config.yaml": "{}"})])
    assert _updates(run)[2:] == [("parent", "RUNNING")]


def test_a_replay_does_not_touch_the_pipeline(run: AttemptRun) -> None:
    _rest(run).children = {("s", 1): "FAILED"}
    deliver(run, [JournalEntry(kind="finish", time_ms=9, name="FAILED")])
    assert _updates(run) == [("id", "FAILED")]


def test_a_pipeline_in_which_another_stage_still_runs_goes_on(run: AttemptRun) -> None:
    run.is_live = True
    _rest(run).children = {("s", 1): "FAILED", ("other", 1): "RUNNING"}
    deliver(run, [JournalEntry(kind="finish", time_ms=9, name="FAILED")])
    assert _updates(run) == [("id", "FAILED")]


def test_a_pipeline_that_finalize_has_ended_stays_as_it_is(run: AttemptRun) -> None:
    run.is_live = True
    _rest(run).status = "FINISHED"
    _rest(run).children = {("s", 1): "FAILED"}
    deliver(run, [JournalEntry(kind="finish", time_ms=9, name="FINISHED")])
    assert _updates(run) == [("id", "FINISHED")]


def _attempt(stage: str, number: int, status: str, end_time_ms: int = 0) -> KnownAttempt:
    return KnownAttempt(stage=stage, number=number, status=status, end_time_ms=end_time_ms)


@pytest.mark.parametrize(
    ("attempts", "wanted"),
    [
        ([], None),
        ([_attempt("a", 1, "FINISHED")], None),
        ([_attempt("a", 1, "FAILED"), _attempt("b", 1, "RUNNING")], None),
        # The other one ended well, after this one had failed.
        ([_attempt("a", 1, "FAILED", 5), _attempt("b", 1, "FINISHED", 9)], RunStatus.FAILED),
        # The second attempt made up for the first; a lost one is no longer running.
        ([_attempt("a", 1, "FAILED"), _attempt("a", 2, "FINISHED")], None),
        ([_attempt("a", 1, "RUNNING"), _attempt("a", 2, "FAILED")], RunStatus.FAILED),
        # As text "10" would come before "9".
        ([_attempt("a", 10, "FINISHED"), _attempt("a", 9, "FAILED")], None),
        ([_attempt("a", 1, "FAILED", 5), _attempt("b", 1, "KILLED", 9)], RunStatus.KILLED),
    ],
)
def test_how_a_pipeline_ends_by_its_attempts(attempts: list[KnownAttempt], wanted: RunStatus | None) -> None:
    assert ended_as(attempts) == wanted


def test_the_end_of_the_pipeline_is_an_entry_like_others(run: AttemptRun) -> None:
    deliver(run, [JournalEntry(kind="finish", time_ms=9, name="FAILED", target=Target.PIPELINE)])
    assert _updates(run) == [("parent", "FAILED")]
