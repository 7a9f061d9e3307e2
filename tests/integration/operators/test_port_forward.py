"""A forwarded port against a server that speaks the API server's side of the protocol, with a store behind it."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from kubernetes import client

from mimo_vl.errors import ConfigError, ServiceUnavailableError
from operators.mimo_pipeline.kubernetes.port_forward import forwarded_port

pytest.importorskip("websockets", reason="the fake API server needs the package websockets")
from websockets.sync.server import Server, ServerConnection, serve

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

_BODY = bytes(range(256)) * 8192  # 2 MiB: many frames


class _Pod(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(_BODY)))
        self.end_headers()
        self.wfile.write(_BODY)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def pod_port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Pod) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def _relay(connection: ServerConnection, port: int) -> None:
    """Channel 0 carries data, channel 1 errors; each begins with the number of the port."""
    number = port.to_bytes(2, "little")
    connection.send(b"\x00" + number)
    connection.send(b"\x01" + number)
    with socket.create_connection(("127.0.0.1", port)) as pod:

        def back() -> None:
            while data := pod.recv(1 << 15):
                connection.send(b"\x00" + data)

        threading.Thread(target=back, daemon=True).start()
        for message in connection:
            assert isinstance(message, bytes)
            pod.sendall(message[1:])


@pytest.fixture
def api(pod_port: int) -> Iterator[tuple[client.Configuration, list[str]]]:
    """The configuration of a client, and the paths that were asked for."""
    paths: list[str] = []

    def check(connection: ServerConnection, request):  # type: ignore[no-untyped-def]
        paths.append(request.path)
        if "/pods/forbidden/" in request.path:
            return connection.respond(403, "pods is forbidden")
        return None

    server: Server = serve(
        lambda connection: _relay(connection, pod_port),
        "127.0.0.1",
        0,
        subprotocols=["v4.channel.k8s.io"],  # type: ignore[list-item]
        process_request=check,
        compression=None,
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    configuration = client.Configuration()
    configuration.host = f"http://127.0.0.1:{server.socket.getsockname()[1]}"
    yield configuration, paths
    server.shutdown()


def _get(port: int) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        # Twice over one connection, as clients of stores do.
        for _ in range(2):
            connection.request("GET", "/")
            body = connection.getresponse().read()
        return body
    finally:
        connection.close()


def test_bytes_arrive_whole_over_several_connections_at_once(api, pod_port: int) -> None:
    configuration, paths = api
    with forwarded_port(configuration, "mlops", "minio-0", pod_port) as port, ThreadPoolExecutor(4) as pool:
        assert set(pool.map(_get, [port] * 4)) == {_BODY}
    assert paths[0] == f"/api/v1/namespaces/mlops/pods/minio-0/portforward?ports={pod_port}"
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_a_refusal_is_told_at_once_with_the_rights_that_are_missing(api, pod_port: int) -> None:
    configuration, _ = api
    refused = pytest.raises(ConfigError, match=r"refuses to forward a port of pod forbidden.*pods/portforward")
    with refused, forwarded_port(configuration, "mlops", "forbidden", pod_port):
        pass


def test_a_cluster_that_is_away_is_worth_another_try(pod_port: int) -> None:
    configuration = client.Configuration()
    configuration.host = "http://127.0.0.1:9"
    away = pytest.raises(ServiceUnavailableError, match=r"port of pod minio-0.*try again")
    with away, forwarded_port(configuration, "mlops", "minio-0", pod_port):
        pass
