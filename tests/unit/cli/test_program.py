"""Commands in messages: as the user has to type them here, and with the options that go on with the same run."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from jobs.cli import app
from jobs.cli_program import command, go_on, short
from jobs.cli_run import RunRequest, resolve
from operators.mimo_pipeline.local.begin import begin
from operators.mimo_pipeline.local.state import Metadata, PipelineObject, RunFolder
from tests.fakes.pipelines import chain


@pytest.fixture
def program(tmp_path, monkeypatch) -> Path:
    """A mimo in an environment below the current folder, called by its path."""
    made = tmp_path / ".venv" / "bin" / "mimo"
    made.parent.mkdir(parents=True)
    made.touch(mode=0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/usr/bin")
    monkeypatch.setattr(sys, "argv", [str(made), "run"])
    return made


def test_a_program_off_the_path_is_named_by_its_shorter_path(program, monkeypatch) -> None:
    assert command("logs", "base") == ".venv/bin/mimo logs base"
    monkeypatch.chdir("/usr")
    assert command("logs", "base") == f"{program} logs base"


def test_a_program_on_the_path_is_named_by_its_name(program, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(program.parent))
    assert command("logs", "base") == "mimo logs base"


def test_another_mimo_on_the_path_is_not_ours(program, monkeypatch, tmp_path) -> None:
    other = tmp_path / "other" / "mimo"
    other.parent.mkdir()
    other.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(other.parent))
    assert command("status") == ".venv/bin/mimo status"


def test_the_module_is_named_with_its_python(program, monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/jobs/cli.py"])
    monkeypatch.setattr(sys, "executable", str(program.with_name("python")))
    assert command("status") == ".venv/bin/python -m jobs.cli status"


def test_arguments_are_quoted_for_the_shell(program) -> None:
    assert command("run", "--run-dir", Path("my runs/a")) == ".venv/bin/mimo run --run-dir 'my runs/a'"


def test_a_folder_is_named_from_here_or_from_the_root(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert short(tmp_path / "runs" / "demo") == "runs/demo"
    assert short(Path("/etc")) == "/etc"


def test_going_on_repeats_what_the_run_was_given(program, tmp_path) -> None:
    """With other options it would be a new run."""
    overrides = ("@demo-ci", "tracking.kind='null'")
    request = RunRequest(profile="tiny", run_dir=tmp_path / "r", overrides=overrides, through="curate")
    pipeline = begin(RunFolder(request.run_dir), resolve(request)[1])
    again = go_on(pipeline, request.run_dir)
    assert again.startswith(".venv/bin/mimo run --run-dir r --profile tiny ")
    words = shlex.split(again)
    assert words[6:] == ["--override", "@demo-ci", "--override", "tracking.kind='null'", "--through", "curate"]
    same = RunRequest(profile=words[5], run_dir=Path(words[3]), overrides=(words[7], words[9]), through=words[11])
    assert begin(RunFolder(same.run_dir), resolve(same)[1]).metadata.uid == pipeline.metadata.uid


def test_a_run_that_something_else_began_goes_on_with_its_profile_and_overrides(program, tmp_path) -> None:
    folder = RunFolder(tmp_path / "r")
    spec = chain(overrides=("a.b=[1, 2]",))
    folder.create(PipelineObject(metadata=Metadata(name="demo", uid="0123456789"), spec=spec))
    result = CliRunner().invoke(app, ["suspend", "--run-dir", str(folder.path)], catch_exceptions=False)
    assert "takes effect with: .venv/bin/mimo run --run-dir r --profile tiny --override 'a.b=[1, 2]'" in result.output
