"""`mimo data`: a folder is checked, published and named; what is wrong ends with exit code 2 before a run starts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from jobs.cli import app
from jobs.cli_run import RunRequest, resolve
from jobs.cluster_check import CheckRequest, render
from mimo_vl.config.compose import compose
from mimo_vl.errors import ConfigError, InputError
from tests.unit.data.own_data import own_line, write_own_data

_WRONG_VERIFIER = ("rewards.custom_verifier=no_such_module:RULE", "rewards.custom_verifier_version=1")


def _call(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_own_data(tmp_path / "own", [own_line(1), own_line(1), own_line(2, reference=None)])


def test_check_says_what_there_is_and_what_curate_will_drop(folder: Path) -> None:
    text = _call("data", "check", str(folder))
    assert "3 lines, 2 of them with a reference, 2 pictures; lines that curate will drop: duplicate 1" in text


def test_add_prints_an_override_that_composes_and_adding_twice_is_once(folder: Path, tmp_path: Path) -> None:
    arguments = ("data", "add", str(folder), "--run-dir", str(tmp_path / "run"), "--output", "json")
    facts = json.loads(_call(*arguments))
    assert json.loads(_call(*arguments)) == facts
    custom = compose("tiny", [facts["override"]]).data.custom
    assert custom is not None
    assert custom.digest == facts["digest"]
    assert facts["uri"].startswith((tmp_path / "run/store/data").as_uri())
    assert facts["override"] in _call("data", "add", str(folder), "--run-dir", str(tmp_path / "run"))


def test_add_goes_to_a_named_store(folder: Path, tmp_path: Path) -> None:
    uri = (tmp_path / "elsewhere").as_uri()
    facts = json.loads(_call("data", "add", str(folder), "--store", uri, "--output", "json"))
    assert facts["uri"] == f"{uri}/data/{facts['digest'].removeprefix('sha256:')}"


def test_a_folder_that_is_none_and_a_wrong_line_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"FOLDER: .* is not a folder"):
        _call("data", "check", str(tmp_path / "none"))
    wrong = write_own_data(tmp_path / "wrong", [{"question": "a"}])
    with pytest.raises(InputError, match=r"data\.jsonl line 1: answer: missing"):
        _call("data", "add", str(wrong), "--run-dir", str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_run_and_check_refuse_a_verifier_that_cannot_be_imported(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no_such_module cannot be imported"):
        resolve(RunRequest(profile="tiny", run_dir=tmp_path, overrides=_WRONG_VERIFIER))
    with pytest.raises(ConfigError, match="no_such_module cannot be imported"):
        render(CheckRequest(profile="tiny", overrides=_WRONG_VERIFIER))
