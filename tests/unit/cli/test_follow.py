"""Logs of several pods as one stream."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from jobs.cli_follow import merged
from mimo_vl.errors import ServiceUnavailableError


def test_lines_of_pods_come_whole_and_with_their_name() -> None:
    streams = {"a": iter(["one", " half\ntwo\n", "rest"]), "b": iter(["x\n"])}
    parts = list(merged(streams))
    by_name = {name: "".join(text for n, text in parts if n == name) for name in ("a", "b")}
    assert by_name == {"a": "one half\ntwo\nrest", "b": "x\n"}
    assert [text for name, text in parts if name == "a"] == ["one half\ntwo\n", "rest"]


def test_a_single_stream_has_no_name() -> None:
    assert list(merged({"a": iter(["x\n"])})) == [("", "x\n")]


def test_a_stream_that_breaks_says_so_and_the_others_go_on() -> None:
    broke = threading.Event()

    def breaking() -> Iterator[str]:
        yield "begun\n"
        broke.set()
        raise ServiceUnavailableError("the pod is gone")

    def patient() -> Iterator[str]:
        assert broke.wait(10)
        yield "still here\n"

    parts = list(merged({"a": breaking(), "b": patient()}))
    assert ("b", "still here\n") in parts
    assert "the log broke off: the pod is gone" in "".join(text for name, text in parts if name == "a")
