"""`mimo run` with the real launcher and runtime on stages that only count."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from jobs.cli_run import RunRequest, run_pipeline
from jobs.run_source import local_source
from mimo_vl.errors import ConfigError
from mimo_vl.reporting.read import read_run
from operators.mimo_pipeline.api import RetryRequest, StageState
from operators.mimo_pipeline.builders.process import STAGE_MODULES
from operators.mimo_pipeline.local.children import ChildRecords
from operators.mimo_pipeline.local.state import RunFolder

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

ROOT = Path(__file__).parents[3]
MODULES = dict.fromkeys(STAGE_MODULES, "tests.integration.local_runner.fake_stage")
# `mimo run` as a process of its own, with the counting stages.
_DRIVER = """
import sys
from pathlib import Path
from jobs.cli_run import RunRequest, run_pipeline
from operators.mimo_pipeline.builders.process import STAGE_MODULES
modules = dict.fromkeys(STAGE_MODULES, "tests.integration.local_runner.fake_stage")
request = RunRequest(profile="tiny", run_dir=Path(sys.argv[1]), overrides=("tracking.kind='null'",),
                     through=sys.argv[2], source_root=Path(sys.argv[3]))
sys.exit(run_pipeline(request, modules=modules))
"""


class Bench:
    """A run folder, switches for the counting stages, and a source tree of its own."""

    def __init__(self, folder: Path) -> None:
        self.run_dir = folder / "demo"
        self.switches = folder / "switches"
        self.source = folder / "source"
        self.switches.mkdir()
        (self.source / "jobs").mkdir(parents=True)
        (self.source / "jobs" / "code.py").write_text("VERSION = 1\n")
        self.text = io.StringIO()
        self.processes: list[subprocess.Popen[bytes]] = []

    @property
    def folder(self) -> RunFolder:
        return RunFolder(self.run_dir)

    def request(self, through: str = "curate") -> RunRequest:
        """`a,b,c` = only these stages."""
        names = tuple(through.split(",")) if "," in through else ()
        return RunRequest(
            profile="tiny",
            run_dir=self.run_dir,
            overrides=("tracking.kind='null'",),
            through="" if names else through,
            stages=names,
            source_root=self.source,
        )

    def run(self, through: str = "curate") -> int:
        self.text = io.StringIO()
        return run_pipeline(self.request(through), modules=MODULES, console=Console(file=self.text, width=160))

    def spawn(self, through: str = "curate") -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-c", _DRIVER, str(self.run_dir), through, str(self.source)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.processes.append(process)
        return process

    def slow(self, stage: str, *, on: bool = True) -> None:
        switch = self.switches / f"{stage}.slow"
        switch.touch() if on else switch.unlink()

    def trace(self, stage: str) -> list[str]:
        path = self.switches / f"{stage}.trace"
        return path.read_text().split() if path.exists() else []

    def state(self, stage: str) -> StageState:
        return self.folder.load().status.stage(stage).state

    def launcher(self, stage: str) -> int:
        pipeline = self.folder.load()
        children = ChildRecords(self.folder.children_path(pipeline.metadata.uid)).all()
        return [c.pid for c in children if c.stage == stage][-1]

    def digests(self) -> dict[str, str]:
        return {s.name: s.digest for s in self.folder.load().status.stages}


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    monkeypatch.setenv("FAKE_STAGE_DIR", str(bench.switches))
    monkeypatch.chdir(ROOT)
    yield bench
    for switch in bench.switches.glob("*.slow"):
        switch.unlink()
    for process in bench.processes:
        if process.poll() is None:
            process.kill()
        process.wait()


def eventually(is_true: Callable[[], bool], *, deadline_s: float = 60.0) -> None:
    end_s = time.monotonic() + deadline_s
    while not is_true():
        assert time.monotonic() < end_s, "did not happen in time"
        time.sleep(0.05)


def test_a_run_gives_outputs_a_summary_and_two_tables_and_a_second_run_reuses_everything(bench: Bench) -> None:
    assert bench.run("base,curate,finalize") == 0
    first = bench.digests()
    summary = json.loads((bench.run_dir / "summary.json").read_text())
    assert [s["name"] for s in summary["stages"]] == ["base", "curate", "finalize"]
    assert {(s["status"], s["reused"]) for s in summary["stages"]} == {("Succeeded", False)}
    assert summary["stages"][0]["tokens"] == 100
    assert (summary["stages"][0]["loss_first"], summary["stages"][0]["loss_last"]) == (1.0, 0.25)
    assert summary["families"][0]["name"] == "counting"
    assert summary["mean_reward"]["rl_minus_sft_ci"] == [0.05, 0.15]
    assert summary["peak_pss_bytes"] > 0
    assert set(summary) == {"stages", "families", "mean_reward", "total_seconds", "peak_pss_bytes"}
    # One after the other, each from before its launcher was started until the controller saw that it was gone.
    pipeline = bench.folder.load()
    children = ChildRecords(bench.folder.children_path(pipeline.metadata.uid))
    took_s = []
    for stage in pipeline.status.stages:
        child = children.find(stage.name, 1)
        assert child is not None
        assert child.ended_at_s is not None
        assert stage.started_at is not None
        assert stage.finished_at is not None
        moments = [stage.started_at.timestamp(), child.created_at_s, child.ended_at_s, stage.finished_at.timestamp()]
        assert moments == sorted(moments)
        took_s.append(child.ended_at_s - child.created_at_s)
    assert [s["seconds"] for s in summary["stages"]] == pytest.approx(took_s, abs=0.001)
    assert summary["total_seconds"] == pytest.approx(sum(took_s), abs=0.01)
    assert "<html" in (bench.run_dir / "report.html").read_text()
    assert "loss first → last" in bench.text.getvalue()
    assert "RL − SFT" in bench.text.getvalue()

    began_s = time.monotonic()
    assert bench.run("base,curate,finalize") == 0
    assert time.monotonic() - began_s < 15
    again = json.loads((bench.run_dir / "summary.json").read_text())
    assert {(s["status"], s["reused"]) for s in again["stages"]} == {("Succeeded", True)}
    assert bench.digests() == first
    assert bench.trace("base") == ["start-1-at-0"]
    # What its outputs took, not that it found them.
    assert again["total_seconds"] == summary["total_seconds"] > 0
    assert again["peak_pss_bytes"] >= summary["peak_pss_bytes"]


def test_changed_code_runs_again(bench: Bench) -> None:
    assert bench.run("base") == 0
    (bench.source / "jobs" / "code.py").write_text("VERSION = 2\n")
    assert bench.run("base") == 0
    assert bench.trace("base") == ["start-1-at-0", "start-1-at-0"]


def test_a_permanent_error_ends_the_run_with_its_message_and_is_not_retried(bench: Bench) -> None:
    (bench.switches / "base.exit").write_text("PermanentError")
    assert bench.run("curate") == 1
    status = bench.folder.load().status
    assert (status.stage("base").state, status.stage("base").exit_code) == (StageState.FAILED, 2)
    assert "asked for PermanentError" in status.stage("base").message
    assert status.stage("curate").state == StageState.SKIPPED
    assert bench.trace("base") == ["start-1-at-0"]
    assert "mimo logs base" in bench.text.getvalue()


def test_running_again_after_a_failure_continues_from_the_checkpoint(bench: Bench) -> None:
    (bench.switches / "base.exit").write_text("PermanentError")
    assert bench.run("base") == 1
    assert bench.run("base") == 0
    assert bench.trace("base") == ["start-1-at-0", "start-2-at-1"]


def test_a_crash_is_retried_from_the_newest_checkpoint(bench: Bench) -> None:
    (bench.switches / "base.exit").write_text("RuntimeError")
    assert bench.run("base") == 0
    assert bench.trace("base") == ["start-1-at-0", "start-2-at-1"]
    assert bench.folder.load().status.stage("base").failures == 1


def test_ctrl_c_saves_and_the_next_run_goes_on(bench: Bench) -> None:
    bench.slow("base")
    process = bench.spawn()
    eventually(lambda: bench.trace("base") == ["start-1-at-0"])
    eventually(lambda: any(bench.run_dir.glob("store/**/step-1/complete.json")))
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 75
    assert bench.state("base") == StageState.SUSPENDED
    bench.slow("base", on=False)
    memory = bench.folder.memory_path(bench.folder.load().metadata.uid)
    assert json.loads(memory.read_text())["peak_pss_bytes"] > 0
    memory.write_text('{"peak_pss_bytes": 1000000000000}')
    assert bench.run() == 0
    assert bench.trace("base") == ["start-1-at-0", "start-2-at-1"]
    assert bench.folder.load().status.stage("base").failures == 0
    # The summary speaks for both invocations, and for both attempts.
    summary = json.loads((bench.run_dir / "summary.json").read_text())
    assert summary["peak_pss_bytes"] == 10**12
    run = read_run(local_source(bench.folder, bench.folder.load()))
    attempts = [a.seconds or 0.0 for s in run.stages for a in s.attempts]
    assert len(attempts) == 3
    assert summary["total_seconds"] == pytest.approx(sum(attempts), abs=0.01)
    # Its pause between the two attempts is no part of a stage's time either.
    assert sum(s["seconds"] for s in summary["stages"]) == pytest.approx(sum(attempts), abs=0.01)


def test_a_launcher_that_outlived_its_controller_is_adopted(bench: Bench) -> None:
    bench.slow("base")
    process = bench.spawn()
    eventually(lambda: bench.trace("base") == ["start-1-at-0"])
    process.kill()
    process.wait()
    launcher = bench.launcher("base")
    assert psutil.pid_exists(launcher)
    threading.Timer(1.0, lambda: bench.slow("base", on=False)).start()
    assert bench.run() == 0
    assert bench.trace("base") == ["start-1-at-0"]
    assert bench.folder.load().status.stage("base").attempt == 1


def test_a_launcher_whose_pid_was_never_written_down_is_adopted_by_its_claim(bench: Bench) -> None:
    bench.slow("base")
    process = bench.spawn("base")
    eventually(lambda: bench.trace("base") == ["start-1-at-0"])
    process.kill()
    process.wait()
    pipeline = bench.folder.load()
    records = ChildRecords(bench.folder.children_path(pipeline.metadata.uid))
    (child,) = records.all()
    # As if the controller had died between starting the launcher and writing down its pid.
    records.save(child.model_copy(update={"pid": 0}))
    threading.Timer(1.0, lambda: bench.slow("base", on=False)).start()
    assert bench.run("base") == 0
    assert bench.trace("base") == ["start-1-at-0"]
    assert bench.launcher("base") == child.pid


def test_killing_controller_and_launcher_group_gives_the_same_digests_as_an_undisturbed_run(
    bench: Bench, tmp_path: Path
) -> None:
    bench.slow("projector-warmup")
    process = bench.spawn("projector-warmup")
    eventually(lambda: any(bench.run_dir.glob("store/**/projector-warmup/attempt-1/checkpoints/step-1/complete.json")))
    process.kill()
    process.wait()
    os.killpg(os.getpgid(bench.launcher("projector-warmup")), signal.SIGKILL)
    bench.slow("projector-warmup", on=False)
    assert bench.run("projector-warmup") == 0
    assert bench.trace("projector-warmup") == ["start-1-at-0", "start-2-at-1"]
    disturbed = bench.digests()
    bench.run_dir = tmp_path / "undisturbed"
    assert bench.run("projector-warmup") == 0
    assert bench.digests() == disturbed


def test_a_killed_attempt_is_told_as_killed_and_not_with_the_last_line_of_its_log(bench: Bench) -> None:
    bench.slow("base")
    process = bench.spawn("base")
    eventually(lambda: bench.trace("base") == ["start-1-at-0"])
    log = bench.folder.log_path(bench.folder.load().metadata.uid, "base", 1)
    with log.open("a") as file:
        file.write("step 7 loss 0.5\n")
    os.killpg(os.getpgid(bench.launcher("base")), signal.SIGKILL)
    bench.slow("base", on=False)
    assert process.wait(timeout=60) == 0
    pipeline = bench.folder.load()
    failure = pipeline.status.stage("base").last_failure
    assert failure is not None
    assert (failure.attempt, failure.reason, failure.exit_code) == (1, "Killed", 137)
    assert failure.message.startswith("killed by SIGKILL")
    # The report, which does not ask the status, has the same words from the store.
    [stage] = [s for s in read_run(local_source(bench.folder, pipeline)).stages if s.name == "base"]
    told = [(a.state, a.reason, a.message, a.exit_code) for a in stage.attempts]
    assert told == [("Killed", failure.reason, failure.message, 137), ("Succeeded", "", "", 0)]


def test_a_second_run_of_the_same_folder_is_refused_and_names_the_first(bench: Bench) -> None:
    bench.slow("base")
    process = bench.spawn()
    eventually(lambda: bench.trace("base") == ["start-1-at-0"])
    with pytest.raises(ConfigError, match=f"pid {process.pid}") as refused:
        bench.run()
    assert refused.value.exit_code == 2
    bench.slow("base", on=False)
    assert process.wait(timeout=60) == 0


def test_a_different_run_is_refused_while_processes_of_the_earlier_one_live(bench: Bench) -> None:
    bench.slow("base")
    process = bench.spawn()
    eventually(lambda: bench.trace("base") == ["start-1-at-0"])
    process.kill()
    process.wait()
    (bench.source / "jobs" / "code.py").write_text("VERSION = 2\n")
    with pytest.raises(ConfigError, match=f"pid {bench.launcher('base')}"):
        bench.run()
    os.kill(bench.launcher("base"), signal.SIGTERM)
    bench.slow("base", on=False)


def test_suspend_and_resume_from_outside(bench: Bench) -> None:
    bench.slow("base")
    process = bench.spawn()
    eventually(lambda: bench.trace("base") == ["start-1-at-0"])
    bench.folder.edit_spec(lambda p: p.spec.model_copy(update={"suspend": True}))
    eventually(lambda: bench.state("base") == StageState.SUSPENDED)
    bench.slow("base", on=False)
    bench.folder.edit_spec(lambda p: p.spec.model_copy(update={"suspend": False}))
    assert process.wait(timeout=60) == 0
    assert [line.split("-at")[0] for line in bench.trace("base")] == ["start-1", "start-2"]


def test_cancel_from_outside_ends_the_run(bench: Bench) -> None:
    bench.slow("base")
    process = bench.spawn()
    eventually(lambda: bench.trace("base") == ["start-1-at-0"])
    bench.folder.edit_spec(lambda p: p.spec.model_copy(update={"cancel": True}))
    assert process.wait(timeout=60) == 1
    assert bench.folder.load().status.phase == "Cancelled"


def test_retry_of_a_finished_run_runs_the_stage_and_what_follows_anew(bench: Bench) -> None:
    assert bench.run("projector-warmup") == 0
    request = RetryRequest(from_stage="curate", nonce="n1")
    bench.folder.edit_spec(lambda p: p.spec.model_copy(update={"retry": request}))
    assert bench.run("projector-warmup") == 0
    assert bench.trace("base") == ["start-1-at-0"]
    assert bench.trace("curate") == ["start-1-at-0", "start-2-at-0"]
    assert bench.trace("projector-warmup") == ["start-1-at-0", "start-2-at-0"]


def test_a_wrong_key_starts_nothing(bench: Bench) -> None:
    wrong = replace(bench.request(), overrides=("data.sythesis.image_side_px=1",))
    with pytest.raises(ConfigError, match=r"data\.sythesis: unknown key"):
        run_pipeline(wrong, modules=MODULES, console=Console(file=bench.text))
    assert not bench.run_dir.exists()
