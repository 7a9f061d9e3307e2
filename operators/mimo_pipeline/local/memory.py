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

SAMPLE_EVERY_S = 2.0
# Reading the page maps of a process with torch takes 40 ms, its resident size none: the maps are read when, by what
# the resident sizes have grown, the peak may have risen by more than a hundredth; and now and then, since pages can
# also change from shared to own.
_TOLERANCE = 0.01
_MAPS_AT_LEAST_EVERY_S = 30.0
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class MemoryPeak:
    """Largest sum seen over the process trees below the given roots, also by earlier controllers of the run.

    Args:
        path: file that keeps it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.peak_pss_bytes = read_peak(path)
        self._last_s = -SAMPLE_EVERY_S
        self._maps_s = -_MAPS_AT_LEAST_EVERY_S
        self._maps_bytes = 0
        self._rss_bytes: dict[int, int] = {}

    def sample(self, roots: Iterable[int]) -> None:
        """Measure now, unless the last measurement is very recent."""
        now_s = time.monotonic()
        if now_s - self._last_s < SAMPLE_EVERY_S:
            return
        self._last_s = now_s
        rss_bytes = {pid: _resident_bytes(pid) for pid in all_pids(roots)}
        grown_bytes = sum(max(0, rss - self._rss_bytes.get(pid, 0)) for pid, rss in rss_bytes.items())
        may_be_a_peak = self._maps_bytes + grown_bytes > self.peak_pss_bytes * (1 + _TOLERANCE)
        if not may_be_a_peak and now_s - self._maps_s < _MAPS_AT_LEAST_EVERY_S:
            return
        self._maps_s, self._rss_bytes = now_s, rss_bytes
        self._maps_bytes = sum(process_pss_bytes(pid) for pid in rss_bytes)
        if self._maps_bytes > self.peak_pss_bytes:
            self.peak_pss_bytes = self._maps_bytes
            write_atomically(self._path, json.dumps({"peak_pss_bytes": self._maps_bytes}) + "\n")


def read_peak(path: Path) -> int:
    """0 where no controller has measured anything."""
    try:
        return int(json.loads(path.read_text(encoding="utf-8"))["peak_pss_bytes"])
    except FileNotFoundError:
        return 0


def _resident_bytes(pid: int) -> int:
    """0 where the process is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE_BYTES
    except OSError:
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
