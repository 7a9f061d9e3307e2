"""A real MLflow server on loopback, on SQLite, started once per module."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from mimo_vl.free_port import free_port

# On two cores that other processes keep busy.
_START_S = 300.0
_ROOT = Path(__file__).parents[3]


class Server:
    """Can be stopped and started again on the same port and database."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.store = folder / "store"
        """Of pipelines whose models its pages shall open."""
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{self._folder}/mlflow.db"]
        command += ["--artifacts-destination", (self._folder / "artifacts").as_uri()]
        with (self._folder / "server.log").open("ab") as log:
            environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
            # No background jobs: they are one more process with all of mlflow.
            environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
            environment["MIMO_STORE"] = self.store.as_uri()
            environment["PYTHONPATH"] = str(_ROOT)
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True, cwd=self._folder, env=environment
            )
        deadline_s = time.monotonic() + _START_S
        while not self._is_up():
            assert self._process.poll() is None, (self._folder / "server.log").read_text()
            assert time.monotonic() < deadline_s, "mlflow server did not start"
            time.sleep(0.2)

    def stop(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def artifact(self, experiment_id: str, run_id: str, path: str) -> bytes:
        return (self._folder / "artifacts" / experiment_id / run_id / "artifacts" / path).read_bytes()

    def _is_up(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=1) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("mlflow"))
    try:
        server.start()
        yield server
    finally:
        server.stop()
