"""A port on loopback that leads to a port of a pod, through the API server.

Each connection is a web socket of its own. The kubernetes client makes it by changing the API client that it is given,
so every connection gets a client of its own too.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from mimo_vl.errors import ConfigError, MimoError, ServiceUnavailableError

_CHUNK_BYTES = 64 << 10
Connect = Callable[[], Any]
"""A connected socket to the pod's port, or MimoError."""


@contextmanager
def forwarded_port(configuration: Any, namespace: str, pod: str, port: int) -> Iterator[int]:
    """Raises ConfigError when the cluster refuses: a first connection is tried at once."""
    connect = _pod_connector(configuration, namespace, pod, port)
    connect().close()
    with serve_port(connect) as number:
        yield number


@contextmanager
def serve_port(connect: Connect) -> Iterator[int]:
    """Every connection to the port is joined with one that `connect` makes, as long as the block lasts."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_serve, args=(server, connect), name="port-forward", daemon=True).start()
        try:
            yield int(server.getsockname()[1])
        finally:
            # Wakes the thread that waits for connections; closing alone does not.
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)


def _serve(server: socket.socket, connect: Connect) -> None:
    while True:
        try:
            near, _ = server.accept()
        except OSError:
            return
        threading.Thread(target=_join, args=(near, connect), name="port-forward-pipe", daemon=True).start()


def _join(near: socket.socket, connect: Connect) -> None:
    with near:
        try:
            far = connect()
        except MimoError:
            # The client sees a connection that ends; it tries again or says so.
            return
        back = threading.Thread(target=_pump, args=(far, near), name="port-forward-back", daemon=True)
        back.start()
        _pump(near, far)
        back.join()
        far.close()


def _pump(source: Any, sink: Any) -> None:
    """Until the source ends; then the sink is told that nothing more comes."""
    with contextlib.suppress(OSError):
        while data := source.recv(_CHUNK_BYTES):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def _pod_connector(configuration: Any, namespace: str, pod: str, port: int) -> Connect:
    def connect() -> Any:
        from kubernetes import client
        from kubernetes.client.exceptions import ApiException
        from kubernetes.stream import portforward

        core = client.CoreV1Api(client.ApiClient(configuration))
        try:
            call = core.connect_get_namespaced_pod_portforward
            return portforward(call, pod, namespace, ports=str(port)).socket(port)
        except ApiException as error:
            raise _refusal(error, namespace, pod) from None
        except OSError as error:
            raise ServiceUnavailableError(f"port {port} of pod {pod}: {type(error).__name__}; try again") from None

    return connect


def _refusal(error: Any, namespace: str, pod: str) -> MimoError:
    reason = str(error.reason or error)
    if "403" in reason or "401" in reason:
        return ConfigError(
            f"the cluster refuses to forward a port of pod {pod} in namespace {namespace}; ask for a Role that allows "
            "`create` and `get` of pods/portforward"
        )
    return ServiceUnavailableError(f"port of pod {pod}: {reason.strip()[:200]}; try again")
