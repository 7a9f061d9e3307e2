"""`mimo status --watch`: on a terminal one table that changes, elsewhere a new table after every change."""

from __future__ import annotations

import codecs
import contextlib
import os
import pty
import queue
import re
import threading
from collections.abc import Iterator
from typing import TextIO, cast

import pytest

from jobs.cli_output import Format
from jobs.cli_status import watch_status
from jobs.cli_target import Target
from operators.mimo_pipeline.api import MimoPipelineSpec, Phase, StageSpec, StageState, StageStatus
from operators.mimo_pipeline.local.state import Metadata, PipelineObject
from operators.mimo_pipeline.status import MimoPipelineStatus

_HEADLINE = "local/demo/01234567  "
# How rich takes a table away before it draws the next one: back to its first line, each line emptied.
_ERASED = re.compile(r"\r(?:\x1b\[1A)?\x1b\[2K(?:\x1b\[1A\x1b\[2K)+")


def _run(phase: Phase, state: StageState) -> PipelineObject:
    return PipelineObject(
        metadata=Metadata(name="demo", uid="0123456789"),
        spec=MimoPipelineSpec(profile="tiny", stages=(StageSpec(name="base"),)),
        status=MimoPipelineStatus(phase=phase, stages=(StageStatus(name="base", attempt=1, state=state),)),
    )


PENDING = _run(Phase.RUNNING, StageState.PENDING)
RUNNING = _run(Phase.RUNNING, StageState.RUNNING)
SUCCEEDED = _run(Phase.SUCCEEDED, StageState.SUCCEEDED)


class _Target:
    """Shows these one after the other; being asked for more is an error."""

    def __init__(self, *shown: PipelineObject) -> None:
        self._shown = iter(shown)

    def load(self) -> PipelineObject:
        return next(self._shown)

    def notes(self, pipeline: PipelineObject, /) -> list[str]:
        return [f"note on {pipeline.status.phase}"]


def _watch(*shown: PipelineObject) -> None:
    watch_status(cast(Target, _Target(*shown)), Format.TABLE, interval_s=0.0)


def test_elsewhere_a_table_is_printed_after_every_change_and_after_no_other_look(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _watch(PENDING, RUNNING, RUNNING, RUNNING, SUCCEEDED)
    text = capsys.readouterr().out
    assert re.findall(rf"^{_HEADLINE}(\w+)$", text, flags=re.M) == ["Running", "Running", "Succeeded"]
    states = re.findall(r"\b(Pending|Running|Succeeded)\b.*", re.sub(rf"{_HEADLINE}.*|note on .*", "", text))
    assert states == ["Pending", "Running", "Succeeded"]
    assert "note on Succeeded" in text
    assert "\x1b" not in text


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[TextIO, queue.Queue[str]]]:
    """And what is written to it, in pieces, with "" after it was closed."""
    master, slave = pty.openpty()
    written: queue.Queue[str] = queue.Queue()
    reader = threading.Thread(target=_read, args=(master, written), daemon=True)
    reader.start()
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "140")
    yield os.fdopen(slave, "w", encoding="utf-8"), written
    reader.join(timeout=10)
    os.close(master)


def _read(master: int, written: queue.Queue[str]) -> None:
    decode = codecs.getincrementaldecoder("utf-8")().decode
    # When the other end is closed, Linux answers with an error, others with nothing.
    with contextlib.suppress(OSError):
        while data := os.read(master, 4096):
            if text := decode(data):
                written.put(text)
    written.put("")


def test_on_a_terminal_one_table_changes_in_its_place(
    terminal: tuple[TextIO, queue.Queue[str]],
) -> None:
    screen, written = terminal
    with screen, contextlib.redirect_stdout(screen):
        _watch(PENDING, RUNNING, RUNNING, SUCCEEDED)
    text = "".join(iter(written.get, ""))
    frames = [re.sub(r"\x1b\[[?\d;]*[a-zA-Z]", "", frame) for frame in _ERASED.split(text)]
    shown = [frame for frame in frames if _HEADLINE in frame]
    assert [frame.count(_HEADLINE) for frame in shown] == [1] * len(shown)
    assert "Pending" in shown[0]
    assert "Pending" not in shown[-1]
    assert "Running" not in shown[-1]
    assert f"{_HEADLINE}Succeeded" in shown[-1]
    assert len(shown) >= 4
