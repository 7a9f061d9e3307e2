"""How much memory a process tree really holds: proportional set size, in which shared pages count once."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import psutil


def process_pss_bytes(pid: int) -> int:
    """Proportional set size of one process, its resident size where the kernel does not tell; 0 if it is gone."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
        return 0


def tree_pids(root_pid: int) -> list[int]:
    """The process and all its descendants."""
    try:
        root = psutil.Process(root_pid)
        return [root_pid, *(child.pid for child in root.children(recursive=True))]
    except psutil.NoSuchProcess:
        return []


def tree_pss_bytes(root_pid: int) -> int:
    return sum(process_pss_bytes(pid) for pid in tree_pids(root_pid))


def rest_s(took_s: float, *, at_least_s: float) -> float:
    """How long to wait after a look that took `took_s` of CPU: looking costs at most 2 % of a core."""
    return max(at_least_s, 50 * took_s)


class PssSampler:
    """Remembers the largest PSS of a process tree, looked at every `interval_s` or less often by a background thread.

    The kernel goes through all page tables for it, 40 ms for a process with torch: see `rest_s`.
    """

    def __init__(self, root_pid: int, *, interval_s: float = 3.0) -> None:
        self._root_pid = root_pid
        self._interval_s = interval_s
        self._stop = threading.Event()
        self._peak_bytes = 0
        self._thread = threading.Thread(target=self._run, name="pss-sampler", daemon=True)

    @property
    def peak_bytes(self) -> int:
        return self._peak_bytes

    def start(self) -> None:
        self._thread.start()

    def sample(self) -> int:
        """Look now; returns the current size."""
        current = tree_pss_bytes(self._root_pid)
        self._peak_bytes = max(self._peak_bytes, current)
        return current

    def stop(self) -> int:
        """Returns the peak."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=self._interval_s + 1.0)
        return self._peak_bytes

    def _run(self) -> None:
        while not self._stop.is_set():
            started_s = time.thread_time()
            self.sample()
            self._stop.wait(rest_s(time.thread_time() - started_s, at_least_s=self._interval_s))
