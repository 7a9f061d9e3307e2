"""What holds for every test: its network, threads, the order of files, and signals as they were."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator

import pytest
import pytest_randomly
from hypothesis import settings
from pytest_socket import disable_socket, socket_allow_hosts

# deepspeed registers itself as a seeder; loading it would cost every pytest run nine seconds of CPU. Our code takes
# generators as arguments, so nothing here needs its global seed.
pytest_randomly.entrypoint_reseeds = []

# The first example of a test may pay for an import, and a busy machine takes its time: pytest-timeout ends what hangs.
settings.register_profile("no deadline", settings(), deadline=None)
settings.load_profile("no deadline")

# Processes inherit that a signal is ignored, and a shell ignores SIGINT for what it starts in the background.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup(item: pytest.Item) -> None:
    _use_one_thread()
    # None for unit tests, loopback for integration, any for tests of a cluster.
    if any(item.get_closest_marker(name) for name in ("e2e", "e2e_full")):
        return
    if any(item.get_closest_marker(name) for name in ("integration", "tour", "pages")):
        socket_allow_hosts(["127.0.0.1", "localhost", "::1"], allow_unix_socket=True)
    else:
        disable_socket(allow_unix_socket=True)


def _use_one_thread() -> None:
    """Of torch, in this process: threads that wait for each other at every small operation take the cores from the
    other processes of `make test`, and a test of one second then takes a minute.
    """
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _keep_sigterm() -> Iterator[None]:
    """A stage that a test runs in this process takes SIGTERM for itself."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first: begun last, one would keep a single process busy long after the others."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
