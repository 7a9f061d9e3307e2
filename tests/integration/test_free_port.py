"""Ports for servers that are about to start."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from mimo_vl import free_port as module
from mimo_vl.free_port import free_port, is_free

pytestmark = pytest.mark.integration


def test_a_port_can_be_listened_on_and_is_not_one_that_linux_gives_away() -> None:
    port = free_port()

    with socket.create_server(("127.0.0.1", port)):
        assert not is_free(port)
    given = Path("/proc/sys/net/ipv4/ip_local_port_range")
    if given.exists():
        low, high = map(int, given.read_text().split())
        assert not low <= port <= high


def test_a_row_goes_around_a_port_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    first = free_port(3)
    monkeypatch.setattr(module, "_PORTS", range(first, first + 3))

    with socket.create_server(("127.0.0.1", first + 2)):
        assert free_port(2) == first
        with pytest.raises(OSError, match=f"no 3 free ports in a row between {first} and {first + 2}"):
            free_port(3)


def test_two_callers_at_once_are_not_given_the_same_port() -> None:
    assert len({free_port() for _ in range(20)}) > 15
