"""`mimo mlflow` on this machine: a real server as long as the command runs, and none after it, also after SIGTERM."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import urllib3

from operators.mimo_pipeline.local.state import Metadata, PipelineObject, RunFolder
from tests.fakes.pipelines import chain, started

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGTERM])
def test_the_server_answers_until_the_command_is_ended(tmp_path: Path, ended_by: signal.Signals) -> None:
    folder = RunFolder(tmp_path / "demo")
    folder.create(
        PipelineObject(metadata=Metadata(name="demo", uid="0123456789"), spec=chain(), status=started(chain()))
    )
    command = [sys.executable, "-m", "jobs.cli", "mlflow", str(folder.path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().split()[1]
            server = json.loads((folder.path / "mlflow.json").read_text())["pid"]
            assert urllib3.request("GET", f"{address}/health", timeout=60.0, retries=False).status == 200
            process.send_signal(ended_by)
            assert process.wait(timeout=60) == 0
        finally:
            process.kill()
    assert not psutil.pid_exists(server)
    assert not (folder.path / "mlflow.json").exists()
