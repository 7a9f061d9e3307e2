"""Which requests entries become, with a server that is a list."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mimo_vl.storage.local import LocalStore
from mimo_vl.tracking.delivery import deliver, deliver_what_is_accepted
from mimo_vl.tracking.journal import JournalEntry, metrics_entry
from mimo_vl.tracking.rest import MlflowRest, TrackingRejectedError, TrackingUnavailableError
from mimo_vl.tracking.runs import AttemptRun


class FakeRest(MlflowRest):
    def __init__(self) -> None:
        super().__init__("http://user:secret@tracking:5000", timeout_s=1.0)
        self.posts: list[tuple[str, Mapping[str, Any]]] = []
        self.is_away = False

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        if self.is_away:
            raise TrackingUnavailableError("away")
        if any(m["key"] == "bad name!" for m in body.get("metrics", ())):
            raise TrackingRejectedError("INVALID_PARAMETER_VALUE: bad name!", "INVALID_PARAMETER_VALUE")
        self.posts.append((path, body))
        return {}


@pytest.fixture
def run(tmp_path: Path) -> AttemptRun:
    run = AttemptRun(
        FakeRest(), LocalStore(tmp_path), experiment="e", run="runs/a/b/c", attempt="runs/a/b/c/s/attempt-1"
    )
    run.run_id = "id"
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
