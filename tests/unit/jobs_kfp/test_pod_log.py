"""A pod's log is asked for since the last line that was read, and reaches the step's log without gap or repetition."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from jobs import cluster_logs
from jobs.kfp_logs import LogCopy
from jobs.kfp_pod_log import NewText, PodLogPlace
from jobs.kfp_target import ClusterPipeline
from tests.fakes.pipeline_client import FakePipelineClient, cluster_object, pod
from tests.fakes.pipelines import chain, running, started, succeeded

_T = "2026-01-01T12:00:0"


def _new(text: str, *, follows: bool = True) -> NewText:
    return NewText(text=text, follows=follows)


def test_the_lines_of_the_last_second_are_taken_once() -> None:
    place = PodLogPlace()
    assert place.since == ""
    assert place.take(f"{_T}1.12Z one\n{_T}1.9Z two\n") == _new("one\ntwo\n")
    assert place.since == f"{_T}1Z"
    assert place.take(f"{_T}1.12Z one\n{_T}1.9Z two\n{_T}1.95Z three\n") == _new("three\n")
    assert place.take(f"{_T}1.12Z one\n{_T}1.9Z two\n{_T}1.95Z three\n") == _new("")


def test_lines_of_the_very_same_time_are_told_apart_by_their_number() -> None:
    place = PodLogPlace()
    place.take(f"{_T}1Z a\n{_T}1Z a\n")
    assert place.take(f"{_T}1Z a\n{_T}1Z a\n{_T}1Z a\n") == _new("a\n")


def test_a_line_that_was_not_finished_goes_on() -> None:
    place = PodLogPlace()
    assert place.take(f"{_T}1Z load") == _new("load")
    assert place.take(f"{_T}1Z loaded 5 %\n{_T}2Z next\n") == _new("ed 5 %\nnext\n")


@pytest.mark.parametrize("text", ["\n", "x\n", " x  y\n", "50 %\r60 %\n", "a\u2028b\n", "2026-01-01T12:00:00Z x\n"])
def test_a_line_is_copied_as_it_is(text: str) -> None:
    assert PodLogPlace().take(f"{_T}1Z {text}{_T}2Z x\n") == _new(f"{text}x\n")


def test_what_the_kubelet_says_in_place_of_a_log_is_no_line_of_it() -> None:
    place = PodLogPlace()
    place.take(f"{_T}1Z a\n")
    assert place.take("unable to retrieve container logs for containerd://0123") == _new("")
    assert place.take(f"{_T}1Z a\n{_T}2Z b\n") == _new("b\n")


def test_a_zone_is_kept_and_a_log_without_news_changes_nothing() -> None:
    place = PodLogPlace()
    place.take(f"{_T}1.5+01:00 a\n")
    assert place.since == f"{_T}1+01:00"
    assert place.take("") == _new("")
    assert place.since == f"{_T}1+01:00"


def test_a_log_that_was_rotated_says_that_lines_may_be_missing() -> None:
    place = PodLogPlace()
    place.take(f"{_T}1Z a\n")
    assert place.take(f"{_T}7Z b\n") == _new("b\n", follows=False)
    assert place.take(f"{_T}7Z b\n{_T}8Z c\n") == _new("c\n")


class Step:
    """The copier of a step over a target on a cluster."""

    def __init__(self) -> None:
        self.client = FakePipelineClient(cluster_object(chain(), started(chain(), succeeded("a"), running("b"))))
        self.client.listed_pods = [pod("demo-b-1")]
        self.target = ClusterPipeline(self.client, "demo")
        self.told = ""
        self.copier = LogCopy(self.target, "b", self._write)

    def look(self, text: str) -> str:
        self.client.logs = {"demo-b-1": text}
        before = len(self.told)
        self.copier.copy(self.target.load())
        return self.told[before:]

    def _write(self, text: str) -> None:
        self.told += text


def test_a_step_asks_for_what_is_new_only() -> None:
    step = Step()
    assert step.look("0\n1\n2\n") == "==> b, attempt 1 <==\n0\n1\n2\n"
    assert step.look("0\n1\n2\n") == ""
    assert step.look("0\n1\n2\n3\n") == "3\n"
    assert step.client.asked_since == ["", "2026-01-01T12:00:02Z", "2026-01-01T12:00:02Z"]


def test_a_gap_is_said_in_the_log() -> None:
    step = Step()
    step.look("0\n1\n")
    step.client.num_rotated = {"demo-b-1": 4}
    assert step.look("0\n1\n2\n3\n4\n5\n") == ("[the log was rotated: lines may be missing here]\n4\n5\n")


def test_the_copy_in_the_store_goes_on_where_the_pod_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    step = Step()
    step.look("0\n1\n")
    step.look("0\n1\n2\n")
    step.client.listed_pods = []
    stored = SimpleNamespace(texts={0: "0\n1\n2\nsaved\n"}, problem="", where="s3://b")
    monkeypatch.setattr(cluster_logs, "shipped_logs", lambda *_: stored)
    assert step.look("") == "saved\n"
