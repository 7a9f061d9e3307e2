"""A step steers the real controller: a retry in the UI runs its stage anew, a cancelled run stops it."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console

from jobs.cli_run import RunRequest, run_pipeline
from jobs.kfp_request import KfpRequest
from jobs.kfp_step import StageFailedError, Step
from jobs.kfp_target import LocalPipeline
from mimo_vl.errors import EXIT_RETRY, MimoError
from operators.mimo_pipeline.api import Phase, StageStatus
from operators.mimo_pipeline.builders.process import STAGE_MODULES
from operators.mimo_pipeline.local.state import RunFolder

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]
_MODULES = dict.fromkeys(STAGE_MODULES, "tests.integration.local_runner.fake_stage")
_OVERRIDES = ("tracking.kind='null'",)
_RUN = "11112222-3333-4444-8555-666677778888"


class Bench:
    """A run folder, switches for the counting stages, and one step after the other in a thread."""

    def __init__(self, folder: Path) -> None:
        self.switches = folder
        self.run_dir = folder / "demo"
        self.is_cancelled = False
        self.told = ""

    @property
    def folder(self) -> RunFolder:
        return RunFolder(self.run_dir)

    def control(self) -> int:
        request = RunRequest(profile="tiny", run_dir=self.run_dir, overrides=_OVERRIDES, through="base")
        return run_pipeline(request, modules=_MODULES, console=Console(file=io.StringIO(), width=160))

    def step(self) -> Step:
        request = KfpRequest(
            run_id=_RUN, profile="tiny", overrides=_OVERRIDES, through="base", run_dir=str(self.run_dir), deadline_s=120
        )
        return Step(
            target=LocalPipeline(self.run_dir),
            request=request,
            stage="base",
            is_cancelled=lambda: self.is_cancelled,
            write=self._write,
            tick_s=0.1,
        )

    def _write(self, text: str) -> None:
        self.told += text


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setenv("FAKE_STAGE_DIR", str(tmp_path))
    bench = Bench(tmp_path)
    yield bench
    for switch in tmp_path.glob("*.slow"):
        switch.unlink()


class Started:
    """A step in a thread; `result` after `join`."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self.result: StageStatus | MimoError | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.result = self._step.run()
        except MimoError as error:
            self.result = error

    def join(self) -> StageStatus | MimoError | None:
        self._thread.join(timeout=120)
        assert not self._thread.is_alive(), "the step does not end"
        return self.result


def _eventually(is_true: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(600):
        if is_true():
            return
        pause.wait(0.1)
    raise AssertionError("not within 60 s")


def test_a_retry_runs_the_stage_that_failed_anew_and_the_step_follows_it(bench: Bench) -> None:
    (bench.switches / "base.exit").write_text("PermanentError")
    first = Started(bench.step())
    _eventually(lambda: bench.folder.load_or_none() is not None)
    assert bench.control() == EXIT_RETRY
    assert isinstance(first.join(), StageFailedError)

    second = Started(bench.step())
    _eventually(lambda: bench.folder.load().spec.retry is not None)
    assert bench.control() == 0
    status = second.join()
    assert isinstance(status, StageStatus)
    # Anew: not from the checkpoint that the failed attempt left.
    assert (status.attempt, status.resume_step) == (2, -1)
    assert "asked for base to be run anew\n" in bench.told
    assert "==> base, attempt 2 <==\n" in bench.told


def test_a_run_that_is_cancelled_stops_the_stage_that_runs(bench: Bench) -> None:
    (bench.switches / "base.slow").touch()
    step = bench.step()
    started = Started(step)
    _eventually(lambda: bench.folder.load_or_none() is not None)
    controller = threading.Thread(target=bench.control)
    controller.start()
    _eventually(lambda: "base: Running, attempt 1" in bench.told)
    bench.is_cancelled = True
    # What a terminated pod gets; without it the step would ask within ten seconds.
    step.stop.set()
    assert isinstance(started.join(), StageFailedError)
    controller.join(timeout=120)
    assert bench.folder.load().status.phase == Phase.CANCELLED


def test_a_step_that_is_evicted_leaves_the_stage_alone_and_its_successor_follows_it(bench: Bench) -> None:
    (bench.switches / "base.slow").touch()
    step = bench.step()
    started = Started(step)
    _eventually(lambda: bench.folder.load_or_none() is not None)
    controller = threading.Thread(target=bench.control)
    controller.start()
    _eventually(lambda: "base: Running, attempt 1" in bench.told)
    # The time that a step asks for is not waited for here.
    step.sleep = lambda _: None
    step.monotonic_s = iter(range(0, 10_000, 30)).__next__
    step.stop.set()
    error = started.join()
    assert isinstance(error, MimoError)
    assert "base goes on" in str(error)
    successor = Started(bench.step())
    (bench.switches / "base.slow").unlink()
    status = successor.join()
    assert isinstance(status, StageStatus)
    assert status.attempt == 1
    controller.join(timeout=120)
    assert bench.folder.load().status.phase == Phase.SUCCEEDED
