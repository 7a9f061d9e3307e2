"""The `mimo` command line: steering a run, and errors that end with exit code 2."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from jobs.cli import app
from mimo_vl.errors import ConfigError, InputError
from operators.mimo_pipeline.api import LastFailure, StageState, StageStatus
from operators.mimo_pipeline.local.state import Metadata, PipelineObject, RunFolder
from tests.fakes.pipelines import chain, started, succeeded


@pytest.fixture
def run_dir(tmp_path):
    folder = RunFolder(tmp_path / "run")
    waiting = StageStatus(name="b", state=StageState.AWAITING_APPROVAL, attempt=1, key="sha256:kb")
    pipeline = PipelineObject(
        metadata=Metadata(name="demo", uid="0123456789"),
        spec=chain(),
        status=started(chain(), succeeded("a"), waiting),
    )
    folder.create(pipeline)
    return folder.path


def _call(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def _spec(run_dir):
    return RunFolder(run_dir).load().spec


def test_help_lists_every_command() -> None:
    text = _call("--help")
    steering = ["status", "logs", "retry", "approve", "suspend", "resume", "cancel"]
    looking = ["runs", "report", "compare", "lineage", "artifacts", "dashboards", "mlflow"]
    names = ["run", "submit", *steering, *looking, "check", "plan", "evaluate", "chat"]
    assert [n for n in names if n not in text] == []


def test_status_shows_every_stage(run_dir) -> None:
    text = _call("status", "--run-dir", str(run_dir))
    assert "local/demo/01234567" in text
    assert "AwaitingApproval" in text
    assert "nobody controls it" in text


def test_status_tells_why_an_earlier_attempt_failed(run_dir) -> None:
    # Brackets are text, not markup of the terminal.
    message = "rank 1 ended by SIGABRT: [/pytorch/gloo/tcp/pair.cc:553] [red]"
    failure = LastFailure(attempt=1, reason="Crashed", message=message, exit_code=134)
    a = succeeded("a").model_copy(update={"attempt": 2, "last_failure": failure})
    same = LastFailure(attempt=3, reason="GateNotMet", message="loss 2 > 1")
    b = StageStatus(
        name="b", state=StageState.FAILED, attempt=3, reason=same.reason, message=same.message, last_failure=same
    )
    RunFolder(run_dir).save_status("0123456789", started(chain(), a, b))
    lines = _call("status", "--run-dir", str(run_dir)).splitlines()
    row_a, row_b = (next(line for line in lines if f"│ {name} " in line) for name in ("a", "b"))
    assert "│ 2 " in row_a
    assert f"attempt 1: Crashed: {message}" in row_a
    # Told once where it is the latest one.
    assert row_b.count("loss 2 > 1") == 1
    stages = json.loads(_call("status", "--run-dir", str(run_dir), "-o", "json"))["status"]["stages"]
    assert stages[0]["lastFailure"] == failure.to_values()


def test_no_console_reads_markup() -> None:
    root = Path(__file__).parents[3]
    for path in [*(root / "jobs").rglob("*.py"), *(root / "operators").rglob("*.py")]:
        made = [line for line in path.read_text(encoding="utf-8").splitlines() if re.search(r"\bConsole\(", line)]
        assert [line for line in made if "markup=False" not in line] == [], path


def test_suspend_resume_and_cancel_edit_the_controls(run_dir) -> None:
    _call("suspend", "--run-dir", str(run_dir))
    assert _spec(run_dir).suspend
    _call("resume", "--run-dir", str(run_dir))
    assert not _spec(run_dir).suspend
    _call("cancel", "--run-dir", str(run_dir))
    assert _spec(run_dir).cancel


def test_an_approval_is_bound_to_the_key_of_the_output(run_dir) -> None:
    _call("approve", "b", "--run-dir", str(run_dir))
    assert [(a.stage, a.key) for a in _spec(run_dir).approvals] == [("b", "sha256:kb")]


def test_only_a_waiting_stage_can_be_approved(run_dir) -> None:
    with pytest.raises(ConfigError, match="stage a is Succeeded"):
        _call("approve", "a", "--run-dir", str(run_dir))


def test_each_retry_is_a_new_request(run_dir) -> None:
    _call("retry", "--from", "a", "--run-dir", str(run_dir))
    first = _spec(run_dir).retry
    _call("retry", "--from", "a", "--run-dir", str(run_dir))
    assert first.from_stage == "a"
    assert _spec(run_dir).retry.nonce != first.nonce


def test_retry_without_a_failed_stage_asks_for_one(run_dir) -> None:
    with pytest.raises(ConfigError, match="--from: no stage has failed"):
        _call("retry", "--run-dir", str(run_dir))


def test_the_log_of_a_stage_is_printed_as_it_is(run_dir) -> None:
    path = RunFolder(run_dir).log_path("0123456789", "a", 1)
    path.parent.mkdir(parents=True)
    path.write_text("loss [bold]0.5[/bold]\n")
    assert _call("logs", "a", "--run-dir", str(run_dir)) == "loss [bold]0.5[/bold]\n"


def test_a_missing_log_and_a_missing_folder_say_what_to_do(run_dir, tmp_path) -> None:
    with pytest.raises(InputError, match="has not run in this run"):
        _call("logs", "b", "--run-dir", str(run_dir))
    with pytest.raises(InputError, match="start a run with: mimo run"):
        _call("status", "--run-dir", str(tmp_path / "nothing"))


def test_check_prints_the_configuration_and_the_process_of_every_stage() -> None:
    text = _call("check", "--profile", "tiny")
    assert "profile: tiny" in text
    assert "# finalize: python -m jobs.launch --nproc 1 -- jobs.finalize" in text
    assert "# projector-warmup: python -m jobs.launch --nproc 2 -- jobs.train" in text


def test_a_wrong_key_is_one_clear_error_and_exit_code_two(tmp_path) -> None:
    command = [sys.executable, "-m", "jobs.cli", "run", "--run-dir", str(tmp_path / "r"), "--override", "rl.lrr=1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "error: rl.lrr: unknown key (value 1); did you mean lr?\n"
    assert not (tmp_path / "r").exists()


def test_plan_prints_gpus_memory_and_gpu_hours_per_stage_and_the_assumed_mfu() -> None:
    text = _call("plan", "--profile", "mimo_vl_7b")
    lines = text.splitlines()
    headings = next(x for x in lines if "GPUs" in x)
    assert re.split(r" {2,}", headings.strip()) == [
        *("stage", "GPUs", "ZeRO", "trained, M"),
        *("weights", "grads", "optim.", "activ.", "cache", "memory"),
        *("tokens/step", "steps", "tokens, B", "GPU-hours"),
    ]
    # 8,306.2 M trained on 128 GPUs by ZeRO-3: 2 bytes of weight and of gradient make 0.121 GiB per GPU each, 12 of
    # master weight and moments 0.725; 550 B tokens in steps of 640 rows of 32,768 are 26,226 steps.
    row = next(x for x in lines if "long-context-sft" in x)
    assert row.split() == [
        *("long-context-sft", "128", "3", "8,306.2"),
        *("0.1", "0.1", "0.7", "28.6", "0.0", "29.5"),
        *("20,971,520", "26,226", "550.0", "30,424"),
    ]
    # The projector alone trains: 47.2 M of 8.31 B.
    assert next(x for x in lines if "projector-warmup" in x).split()[3] == "47.2"
    assert "GPU-hours in all, at 40% and 5% of 989 TFLOP/s (MFU)" in text
