"""`mimo logs` of a run on this machine: one rank, and following an attempt that another one takes over from."""

from __future__ import annotations

import os
import threading

import pytest
from typer.testing import CliRunner

from jobs import cli_target_local
from jobs.cli import app
from jobs.cli_target_local import LocalTarget
from mimo_vl.errors import ConfigError
from operators.mimo_pipeline.api import PytorchWorkload
from operators.mimo_pipeline.local.state import Metadata, PipelineObject, RunFolder
from tests.fakes.pipelines import chain, running, started, succeeded, with_stage

UID = "0123456789"


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    """Stage b, of two ranks, runs its first attempt."""
    spec = with_stage(chain(), "b", pytorch=PytorchWorkload(num_nodes=1, num_procs_per_node=2))
    made = RunFolder(tmp_path / "run")
    status = started(spec, succeeded("a"), running("b"))
    made.create(PipelineObject(metadata=Metadata(name="demo", uid=UID), spec=spec, status=status))
    return made


def _write(folder: RunFolder, attempt: int, text: str) -> None:
    path = folder.log_path(UID, "b", attempt)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _logs(folder: RunFolder, *arguments: str) -> str:
    result = CliRunner().invoke(app, ["logs", *arguments, "--run-dir", str(folder.path)], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_one_rank_is_its_lines_and_what_goes_on_from_them(folder) -> None:
    head = "2026-01-01T12:00:00Z INFO jobs.train"
    _write(folder, 1, f"{head} r0: a\n{head} r1: b\n  more of b\n{head}: of nobody\n{head} r0: c\n")
    assert _logs(folder, "b", "--rank", "1") == f"{head} r1: b\n  more of b\n"
    assert _logs(folder, "b", "--rank", "0", "-f") == f"{head} r0: a\n{head} r0: c\n"
    with pytest.raises(ConfigError, match="--rank: got 2, stage b has ranks 0 to 1"):
        _logs(folder, "b", "--rank", "2")
    with pytest.raises(ConfigError, match="stage a has no ranks"):
        _logs(folder, "a", "--rank", "0")


def test_json_lines_have_ranks_too(folder) -> None:
    lines = ['{"time": "t", "message": "m", "rank": "r1"}\n', '{"time": "t", "message": "m", "rank": "r0"}\n']
    _write(folder, 1, "".join(lines))
    assert _logs(folder, "b", "--rank", "0") == lines[1]


def test_following_ends_when_a_free_retry_takes_over(folder, monkeypatch) -> None:
    """The state stays Running; only the number of the attempt tells that another log is written now."""
    monkeypatch.setattr(cli_target_local, "_FOLLOW_INTERVAL_S", 0.01)
    folder.controller_path.write_text(f'{{"pid": {os.getpid()}}}')
    _write(folder, 1, "first\n")
    texts: list[str] = []

    def follow() -> None:
        for _, text in LocalTarget(folder.path).follow("b", 0, None):
            texts.append(text)
            folder.save_status(UID, started(folder.load().spec, succeeded("a"), running("b", 2)))

    reader = threading.Thread(target=follow, daemon=True)
    reader.start()
    reader.join(10)
    assert not reader.is_alive()
    assert texts == ["first\n"]
