"""The largest proportional set size of all processes of a run together: controller, launchers, servers, daemons."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable

import psutil

from mimo_vl.observability.memory import process_pss_bytes, tree_pids

# Reading the page maps of a large process takes some milliseconds.
SAMPLE_EVERY_S = 2.0


class MemoryPeak:
    """Largest sum seen over the process trees below the given roots."""

    def __init__(self) -> None:
        self.peak_pss_bytes = 0
        self._last_s = -SAMPLE_EVERY_S

    def sample(self, roots: Iterable[int]) -> None:
        """Measure now, unless the last measurement is very recent."""
        now_s = time.monotonic()
        if now_s - self._last_s < SAMPLE_EVERY_S:
            return
        self._last_s = now_s
        self.peak_pss_bytes = max(self.peak_pss_bytes, sum(process_pss_bytes(pid) for pid in all_pids(roots)))


def all_pids(roots: Iterable[int]) -> set[int]:
    """The trees below the roots, and everything in the sessions that they lead (daemons with another parent)."""
    pids = {pid for root in roots for pid in tree_pids(root)}
    # The session of the controller itself is the terminal's: other programs live there.
    leaders = {pid for pid in pids - {os.getpid()} if _session(pid) == pid}
    return pids | {pid for pid in psutil.pids() if _session(pid) in leaders}


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return -1
