"""A port of loopback for a server that this process is about to start."""

from __future__ import annotations

import random
import socket

_PORTS = range(20_000, 30_000)
"""Below the ports that Linux gives to connections and to servers which ask for any port (from 32768), above those of
Ray's workers (to 19999): a port of theirs can be taken between the look here and the start of the server."""

_TRIES = 200
_choose = random.SystemRandom()


def free_port(count: int = 1) -> int:
    """The first of `count` ports in a row that nobody listens on now.

    Raises:
        OSError: no such ports were found.
    """
    for _ in range(_TRIES):
        first = _choose.randrange(_PORTS.start, _PORTS.stop - count + 1)
        if all(is_free(port) for port in range(first, first + count)):
            return first
    raise OSError(f"no {count} free ports in a row between {_PORTS.start} and {_PORTS.stop - 1} on 127.0.0.1")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
