from __future__ import annotations

import io
import json
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mimo_vl.observability import memory
from mimo_vl.observability.logging import configure_logging
from mimo_vl.observability.memory import PssSampler, process_pss_bytes, rest_s, tree_pids


@pytest.fixture(autouse=True)
def _keep_handlers() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_an_event_is_one_line_even_if_its_message_has_several() -> None:
    stream = io.StringIO()
    configure_logging(stream=stream, rank=1, world_size=2)
    logging.getLogger("a.b").info("two\nlines step=%d", 3)
    pattern = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ INFO a\.b r1: two\\nlines step=3\n"
    assert re.fullmatch(pattern, stream.getvalue())


def test_json_lines_hold_the_traceback_too() -> None:
    stream = io.StringIO()
    configure_logging(stream=stream, json_lines=True)
    try:
        raise ValueError("wrong")
    except ValueError:
        logging.getLogger("a").exception("failed")
    lines = stream.getvalue().splitlines()
    assert len(lines) == 1
    event = json.loads(lines[0])
    assert (event["level"], event["logger"], event["message"]) == ("ERROR", "a", "failed")
    assert "ValueError: wrong" in event["exception"]
    assert "rank" not in event


def test_configuring_twice_does_not_double_the_lines() -> None:
    stream = io.StringIO()
    configure_logging(stream=stream)
    configure_logging(stream=stream)
    logging.getLogger("a").info("once")
    assert stream.getvalue().count("once") == 1


def test_this_process_has_a_size_and_a_gone_one_has_none() -> None:
    # A Python interpreter with pytest: between 5 MB and 10 GB.
    assert 5_000_000 < process_pss_bytes(os.getpid()) < 10_000_000_000
    assert process_pss_bytes(2**22 + 1) == 0
    assert os.getpid() in tree_pids(os.getpid())


def test_without_smaps_the_resident_size_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(memory, "Path", lambda _: tmp_path / "missing")
    assert process_pss_bytes(os.getpid()) > 5_000_000


def test_the_sampler_remembers_the_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = iter([10, 30, 20])
    monkeypatch.setattr(memory, "tree_pss_bytes", lambda _: next(sizes))
    sampler = PssSampler(os.getpid())
    assert [sampler.sample() for _ in range(3)] == [10, 30, 20]
    assert sampler.stop() == 30


def test_a_look_that_costs_much_is_followed_by_a_longer_rest() -> None:
    assert rest_s(0.01, at_least_s=3.0) == 3.0
    assert rest_s(0.2, at_least_s=3.0) == pytest.approx(10.0)
