"""The operator waits for its store, also where something else answers at its address first."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from mimo_vl.config.storage import StorageConfig
from mimo_vl.storage import store_for_uri
from operators.mimo_pipeline.kubernetes.store_check import wait_for_store

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]
_DEADLINE_S = 15.0


class _Server(ThreadingHTTPServer):
    """A store with conditional writes, but on the first connection, where all is answered with 404."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.num_connections = self.num_wrong = 0
        self.keys: set[str] = set()


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.num_connections += 1
        self.is_wrong = self.server.num_connections == 1

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        key = urlsplit(self.path).path
        status = 404 if self.is_wrong else 412 if key in self.server.keys else 200
        self.server.num_wrong += self.is_wrong
        if status == 200:
            self.server.keys.add(key)
        self._answer(status)

    def do_DELETE(self) -> None:
        self.server.keys.discard(urlsplit(self.path).path)
        self._answer(404 if self.is_wrong else 204)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("ETag", '"one"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[_Server]:
    with _Server() as made:
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def test_who_answers_in_place_of_the_store_on_a_kept_connection_is_left(
    server: _Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new Service's address leads out of the cluster until kube-proxy knows it; the connection made then stays."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "key-of-a-test")
    config = StorageConfig(kind="s3", endpoint=f"127.0.0.1:{server.server_port}", secure=False, timeout_s=5.0)
    waiting = wait_for_store(lambda: store_for_uri("s3://mimo", config), retry_s=0.01)
    asyncio.run(asyncio.wait_for(waiting, _DEADLINE_S))
    assert server.num_wrong == 1
    assert server.num_connections == 2
    assert server.keys == set(), "the check left an object behind"
