"""An S3 server process on loopback, or a server that answers as a test wants."""

from __future__ import annotations

import contextlib
import http.server
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import urllib3

from mimo_vl.free_port import free_port

KEY, SECRET = "test-access", "test-secret"


@contextlib.contextmanager
def serve_s3(log_path: Path) -> Iterator[str]:
    """Yields host:port."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with log_path.open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            _wait_ready(port, process)
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()


class Answers(http.server.BaseHTTPRequestHandler):
    """Tests add do_PUT or do_GET."""

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


@contextlib.contextmanager
def answering(handler: type[Answers]) -> Iterator[str]:
    """Yields host:port."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def _wait_ready(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline_s = time.monotonic() + 60
    while True:
        try:
            urllib3.request("GET", f"http://127.0.0.1:{port}/moto-api/", timeout=1.0, retries=False)
            return
        except urllib3.exceptions.HTTPError:
            assert process.poll() is None, "S3 server ended"
            assert time.monotonic() < deadline_s, "S3 server did not start"
            time.sleep(0.2)
