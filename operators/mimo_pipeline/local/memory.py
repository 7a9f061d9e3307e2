"""The largest proportional set size of all processes of a run together: controller, launchers, servers, daemons."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

from mimo_vl.observability.memory import process_pss_bytes, tree_pids
from operators.mimo_pipeline.local.state import write_atomically

# Reading the page maps of a large process takes some milliseconds.
SAMPLE_EVERY_S = 2.0


class MemoryPeak:
    """Largest sum seen over the process trees below the given roots, also by earlier controllers of the run.

    Args:
        path: file that keeps it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.peak_pss_bytes = read_peak(path)
        self._last_s = -SAMPLE_EVERY_S

    def sample(self, roots: Iterable[int]) -> None:
        """Measure now, unless the last measurement is very recent."""
        now_s = time.monotonic()
        if now_s - self._last_s < SAMPLE_EVERY_S:
            return
        self._last_s = now_s
        now_bytes = sum(process_pss_bytes(pid) for pid in all_pids(roots))
        if now_bytes > self.peak_pss_bytes:
            self.peak_pss_bytes = now_bytes
            write_atomically(self._path, json.dumps({"peak_pss_bytes": now_bytes}) + "\n")


def read_peak(path: Path) -> int:
    """0 where no controller has measured anything."""
    try:
        return int(json.loads(path.read_text(encoding="utf-8"))["peak_pss_bytes"])
    except FileNotFoundError:
        return 0


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
