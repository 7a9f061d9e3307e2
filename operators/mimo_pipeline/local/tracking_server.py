"""The MLflow server of a run: one process on loopback with SQLite in the run folder, adopted after a crash."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from mimo_vl.errors import ServiceUnavailableError
from mimo_vl.free_port import free_port, is_free
from operators.mimo_pipeline.api import ApiModel
from operators.mimo_pipeline.local.children import is_same_process, start_time_s
from operators.mimo_pipeline.local.settings import server_environment
from operators.mimo_pipeline.local.state import write_atomically

logger = logging.getLogger(__name__)

_HOST = "127.0.0.1"
# Read by the artifact repository that our package adds to MLflow (mimo_vl/tracking/settings.py).
STORE_VARIABLE = "MIMO_STORE"
_STOP_S = 10.0
# A server that starts on a busy machine loads for a long time.
_ANSWER_S, _POLL_S = 120.0, 0.2


class _ServerRecord(ApiModel):
    pid: int
    started_at_s: float
    port: int


class TrackingServer:
    """Started with the first stage that needs it; nobody waits for it, trackers journal until it answers."""

    def __init__(self, run_dir: Path, *, store_uri: str = "") -> None:
        """`store_uri`: where the models of the registry lie, so that its pages can open them."""
        self._run_dir = run_dir
        self._store_uri = store_uri
        self._record_path = run_dir / "mlflow.json"
        self._record: _ServerRecord | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def backend_uri(self) -> str:
        return f"sqlite:///{self._run_dir / 'mlflow.db'}"

    @property
    def artifacts_uri(self) -> str:
        return (self._run_dir.absolute() / "mlartifacts").as_uri()

    @property
    def pid(self) -> int | None:
        return self._record.pid if self._record else None

    def uri(self) -> str:
        """Address of the server, which is started if it does not run."""
        record = self._record or self._adopt()
        if record is None or not is_same_process(record.pid, record.started_at_s):
            # Stages that still run know the old port.
            record = self._start(record.port if record else None)
        self._record = record
        return f"http://{_HOST}:{record.port}"

    def adopt(self) -> None:
        """Take over a server that an earlier controller left, so that it is stopped at the end."""
        self._record = self._record or self._adopt()

    def stop(self) -> None:
        record, self._record = self._record, None
        if record is None:
            return
        if is_same_process(record.pid, record.started_at_s):
            tree = [psutil.Process(record.pid), *psutil.Process(record.pid).children(recursive=True)]
            _end(tree)
        if self._process is not None:
            self._process.wait()
        self._record_path.unlink(missing_ok=True)

    def _adopt(self) -> _ServerRecord | None:
        try:
            return _ServerRecord.model_validate_json(self._record_path.read_bytes())
        except (FileNotFoundError, ValueError):
            return None

    def _start(self, port: int | None) -> _ServerRecord:
        self._run_dir.mkdir(parents=True, exist_ok=True)
        chosen = port if port is not None and is_free(port) else free_port()
        log = self._run_dir / "logs" / "mlflow.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        argv = [sys.executable, "-m", "mlflow", "server", "--host", _HOST, "--port", str(chosen), "--workers", "1"]
        argv += ["--backend-store-uri", self.backend_uri, "--artifacts-destination", self.artifacts_uri]
        with log.open("ab") as sink:
            self._process = subprocess.Popen(
                argv,
                env={**server_environment(), **({STORE_VARIABLE: self._store_uri} if self._store_uri else {})},
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        record = _ServerRecord(pid=self._process.pid, started_at_s=start_time_s(self._process.pid), port=chosen)
        write_atomically(self._record_path, record.model_dump_json())
        logger.info("started tracking server pid=%d port=%d", record.pid, chosen)
        return record


def wait_until_it_answers(uri: str, *, timeout_s: float = _ANSWER_S) -> None:
    """For a person who is about to look. Raises ServiceUnavailableError."""
    address = urlsplit(uri)
    end_s = time.monotonic() + timeout_s
    while True:
        try:
            socket.create_connection((address.hostname or _HOST, address.port or 80), timeout=1.0).close()
            return
        except OSError:
            if time.monotonic() > end_s:
                raise ServiceUnavailableError(
                    f"MLflow at {uri} does not answer within {timeout_s:.0f} s; see logs/mlflow.log in the run folder"
                ) from None
        time.sleep(_POLL_S)


def _end(processes: list[psutil.Process]) -> None:
    for process in processes:
        _signal(process, signal.SIGTERM)
    _, alive = psutil.wait_procs(processes, timeout=_STOP_S)
    for process in alive:
        _signal(process, signal.SIGKILL)


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        os.kill(process.pid, number)
    except ProcessLookupError:
        return
