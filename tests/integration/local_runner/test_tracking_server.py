"""The MLflow server of a run: started once, adopted by the next controller, stopped with all its processes."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

from operators.mimo_pipeline.local.tracking_server import TrackingServer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

_START_S = 150.0


def _answers(uri: str) -> bool:
    try:
        with urllib.request.urlopen(f"{uri}/health", timeout=5) as response:
            return response.status == 200
    except (urllib.error.URLError, OSError):
        return False


def test_a_server_is_adopted_and_stopped_with_all_its_processes(tmp_path: Path) -> None:
    server = TrackingServer(tmp_path)
    uri = server.uri()
    pid = server.pid
    assert pid is not None
    try:
        end_s = time.monotonic() + _START_S
        while not _answers(uri):
            assert time.monotonic() < end_s, (tmp_path / "logs/mlflow.log").read_text()[-2000:]
            time.sleep(0.3)
        tree = [pid, *(c.pid for c in psutil.Process(pid).children(recursive=True))]
        # The next controller, after the first was killed.
        successor = TrackingServer(tmp_path)
        successor.adopt()
        assert (successor.pid, successor.uri()) == (pid, uri)
    finally:
        server.stop()
    assert [p for p in tree if psutil.pid_exists(p)] == []
    assert (tmp_path / "mlflow.db").is_file()
    assert not (tmp_path / "mlflow.json").exists()
