"""How the ranks of one node live and die together: started as children, watched, ended, no orphan left behind."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence

import psutil

from mimo_vl.stop_request import StopRequest

logger = logging.getLogger(__name__)

# <linux/prctl.h>
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_POLL_INTERVAL_S = 0.1
_ORPHAN_GRACE_S = 2.0


class RankGroup:
    """N processes of one command. Call start() and wait() from the main thread, before other threads are started."""

    def __init__(self, command: Sequence[str], environments: Sequence[Mapping[str, str]], *, grace_s: float) -> None:
        self._command = list(command)
        self._environments = environments
        self._grace_s = grace_s
        self._ranks: list[subprocess.Popen[bytes]] = []
        self.first_failed: list[int] = []
        """Ranks that had ended badly when the others were told to end; empty if none did so on its own."""
        self.all_well_at_s = 0.0
        """When, by time.monotonic, none had ended badly yet."""

    def start(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        # Grandchildren whose parent dies become our children, so that we can end them.
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        parent = os.getpid()

        def die_with_launcher() -> None:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)

        for environment in self._environments:
            rank = subprocess.Popen(self._command, env=dict(environment), preexec_fn=die_with_launcher)
            self._ranks.append(rank)

    def wait(self, stop: StopRequest) -> list[int]:
        """Exit codes by rank, negative = signal. After `stop` or a failure: SIGTERM to the rest, then SIGKILL."""
        deadline_s: float | None = None
        while any(code is None for code in self._poll()):
            asked_at_s = time.monotonic()
            codes = self._poll()
            failed = [rank for rank, code in enumerate(codes) if code not in (None, 0)]
            if not failed:
                self.all_well_at_s = asked_at_s
            if deadline_s is None and (stop.is_set() or failed):
                self.first_failed = [] if stop.is_set() else failed
                logger.info("ending the ranks stop_requested=%s failed=%s", stop.is_set(), failed)
                self._signal(signal.SIGTERM)
                deadline_s = time.monotonic() + self._grace_s
            if deadline_s is not None and time.monotonic() > deadline_s:
                logger.warning("ranks did not end within %.0f s; killing them", self._grace_s)
                self._signal(signal.SIGKILL)
                deadline_s = float("inf")
            _reap_orphans({rank.pid for rank in self._ranks})
            time.sleep(_POLL_INTERVAL_S)
        return [code for code in self._poll() if code is not None]

    def end_orphans(self) -> None:
        """End every descendant that outlived the ranks."""
        orphans = psutil.Process().children(recursive=True)
        for orphan in orphans:
            _send(orphan.pid, signal.SIGTERM)
        _, alive = psutil.wait_procs(orphans, timeout=_ORPHAN_GRACE_S)
        for orphan in alive:
            logger.warning("killing left-over process pid=%d", orphan.pid)
            _send(orphan.pid, signal.SIGKILL)
        psutil.wait_procs(alive, timeout=_ORPHAN_GRACE_S)

    def _poll(self) -> list[int | None]:
        return [rank.poll() for rank in self._ranks]

    def _signal(self, number: signal.Signals) -> None:
        for rank in self._ranks:
            if rank.poll() is None:
                _send(rank.pid, number)


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _reap_orphans(ranks: set[int]) -> None:
    """Collect dead adopted children; the ranks themselves are left to Popen, which needs their status.

    One question to the kernel, many times a second: it must not go through the processes of the machine.
    """
    with contextlib.suppress(ChildProcessError):
        while (dead := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) and dead.si_pid not in ranks:
            os.waitpid(dead.si_pid, os.WNOHANG)
