"""Logs of several pods as one stream."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from jobs.cli_follow import merged
from mimo_vl.errors import ServiceUnavailableError


def test_lines_of_pods_come_whole_and_with_their_name() -> None:
    streams = [("a", iter(["one", " half\ntwo\n", "rest"])), ("b", iter(["x\n"]))]
    parts = list(merged(iter(streams)))
    by_name = {name: "".join(text for n, text in parts if n == name) for name in ("a", "b")}
    assert by_name == {"a": "one half\ntwo\nrest", "b": "x\n"}
    assert [text for name, text in parts if name == "a"] == ["one half\ntwo\n", "rest"]


def test_a_source_that_comes_later_is_read_too() -> None:
    sources = iter([("a", iter(["x\n"])), None, None, ("b", iter(["y\n"]))])
    assert list(merged(sources, interval_s=0.01)) == [("a", "x\n"), ("b", "y\n")]


def test_without_any_source_there_is_no_line() -> None:
    assert list(merged(iter([None]), interval_s=0.01)) == []


def test_a_stream_that_breaks_says_so_and_the_others_go_on() -> None:
    broke = threading.Event()

    def breaking() -> Iterator[str]:
        yield "begun\n"
        broke.set()
        raise ServiceUnavailableError("the pod is gone")

    def patient() -> Iterator[str]:
        assert broke.wait(10)
        yield "still here\n"

    parts = list(merged(iter([("a", breaking()), ("b", patient())])))
    assert ("b", "still here\n") in parts
    assert "mimo: the log broke off: the pod is gone" in "".join(text for name, text in parts if name == "a")
