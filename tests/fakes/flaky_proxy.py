"""A server that goes away: forwards connections on loopback to a real server, and can be taken down or lose answers."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType

from mimo_vl.free_port import free_port

_CHUNK_BYTES = 64 << 10


class FlakyProxy:
    """Connections to `endpoint` reach `target`, both host:port, while the proxy is up."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._port = free_port()
        self._listener: socket.socket | None = None
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._num_answers_to_lose = 0
        self.num_connections = 0
        self.endpoint = f"127.0.0.1:{self._port}"

    def __enter__(self) -> FlakyProxy:
        self.up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    def up(self) -> None:
        listener = socket.create_server(("127.0.0.1", self._port))
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def down(self) -> None:
        """Refuse connections, and cut those that are open."""
        listener, self._listener = self._listener, None
        if listener is not None:
            # A close alone does not wake the thread that accepts.
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        with self._lock:
            for connection in self._open:
                _cut(connection)
            self._open.clear()

    def up_after(self, delay_s: float) -> threading.Timer:
        timer = threading.Timer(delay_s, self.up)
        timer.start()
        return timer

    def lose_answers(self, count: int) -> None:
        """The server does what it is asked, but its next `count` answers never arrive."""
        self._num_answers_to_lose = count

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self.num_connections += 1
            server = socket.create_connection(self._target)
            with self._lock:
                self._open |= {client, server}
            threading.Thread(target=self._forward, args=(client, server), daemon=True).start()
            threading.Thread(target=self._answer, args=(server, client), daemon=True).start()

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(_CHUNK_BYTES):
                server.sendall(data)
        _cut(server)

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(_CHUNK_BYTES):
                if self._num_answers_to_lose and data.startswith(b"HTTP/1.1 2"):
                    self._num_answers_to_lose -= 1
                    break
                client.sendall(data)
        _cut(client)


def _cut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
