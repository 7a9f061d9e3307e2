"""A run of which one stage is killed and one fails: how it is started, hurt, held still and followed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

from jobs.kfp_local import DEFAULT_KFP_PYTHON
from jobs.kfp_settings import local_step_environment
from mimo_vl.storage.layout import OUTPUT_DIR, attempt_prefix
from operators.mimo_pipeline.kubeflow.package import PACKAGES
from operators.mimo_pipeline.local.state import RunFolder
from tests.integration.observability.exporters import wait_until
from tests.tour.looking import ROOT

KILLED, FAILED = "projector-warmup", "vision-language-alignment"
STAGES = ("base", "curate", KILLED, FAILED, "finalize")
LAST = "jobs.finalize"
# Two attempts of each in half a minute; other numbers of steps than in demo-ci, so that neither is reused.
OVERRIDES = ("@demo-ci", f"stages.{KILLED}.num_steps=16", f"stages.{FAILED}.num_steps=12")
DEADLINE_S = 240.0
STEPS_LOG = "kfp.log"
HAS_KFP = DEFAULT_KFP_PYTHON.is_file()


def environ() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | {"COLUMNS": "250"}


def start(folder: Path, port: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "jobs.cli", "run", "--run-dir", str(folder), "--stages", ",".join(STAGES)]
    for override in (*OVERRIDES, f"observability.metrics_port={port}"):
        command += ["--override", override]
    with (folder / "run.log").open("wb") as log:
        return subprocess.Popen(command, cwd=ROOT, env=environ(), stdout=log, stderr=subprocess.STDOUT)


def follow_in_kubeflow(folder: Path, stack: ExitStack) -> subprocess.Popen[bytes] | None:
    """The steps of a run that somebody else's pipeline is shown by, while it runs."""
    if not HAS_KFP:
        return None
    parameters = {
        "follow": True,
        "name": RunFolder(folder).load().metadata.name,
        "stages": list(STAGES),
        "run_dir": str(folder),
        "kfp_endpoint": "",
    }
    package, outputs = str(PACKAGES / "tiny.yaml"), str(folder / "kfp")
    command = [str(DEFAULT_KFP_PYTHON), "-m", "jobs.kfp_local", "--execute", package, json.dumps(parameters), outputs]
    with (folder / STEPS_LOG).open("wb") as log:
        steps = subprocess.Popen(
            command, cwd=ROOT, env=local_step_environment(ROOT), stdout=log, stderr=subprocess.STDOUT
        )
    stack.callback(end, steps)
    return steps


def end(process: subprocess.Popen[bytes]) -> None:
    """As Ctrl-C does: it ends what it has started."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)


def wait_for(folder: Path, process: subprocess.Popen[bytes], stage: str, *, attempt: int) -> None:
    """Until that attempt trains."""

    def is_there() -> bool:
        assert process.poll() is None, log(folder)
        found = RunFolder(folder).load_or_none()
        stages = found.status.stages if found else ()
        now = next((s for s in stages if s.name == stage), None)
        is_running = now is not None and (now.attempt, now.state) == (attempt, "Running")
        return is_running and now.progress is not None and now.progress.step >= 1

    wait_until(is_there, DEADLINE_S, lambda: log(folder))


def processes(run: subprocess.Popen[bytes], module: str) -> list[psutil.Process]:
    found = []
    for process in psutil.Process(run.pid).children(recursive=True):
        try:
            if module in process.cmdline():
                found.append(process)
        except psutil.Error:
            continue
    return found


@contextmanager
def held(run: subprocess.Popen[bytes], module: str = "jobs.train") -> Iterator[None]:
    """Its ranks make no step meanwhile: people look more slowly than the stage works."""
    ranks = processes(run, module)
    for rank in ranks:
        rank.suspend()
    try:
        yield
    finally:
        for rank in ranks:
            rank.resume()


def kill_attempt(folder: Path, run: subprocess.Popen[bytes], stage: str) -> None:
    """Launcher and ranks at once, as a machine that is lost: nobody can say why."""
    for process in [*processes(run, "jobs.launch"), *processes(run, "jobs.train")]:
        process.kill()


def break_output(folder: Path, run: subprocess.Popen[bytes], stage: str) -> None:
    """Where the first attempt will write its model there is no folder any more: rank 0 fails, then rank 1 for that."""
    output = folder / "store" / attempt_prefix(RunFolder(folder).load().run_id, stage, 1) / OUTPUT_DIR
    shutil.rmtree(output)
    output.write_text("not a folder")


def log(folder: Path) -> str:
    return (folder / "run.log").read_text(encoding="utf-8", errors="replace")[-4000:]
