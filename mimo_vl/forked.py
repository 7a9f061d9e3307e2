"""Forked workers end with the process that forked them, also if that one was killed."""

from __future__ import annotations

import os
import threading
import time

_POLL_S = 1.0


def end_with_parent(parent_pid: int) -> None:
    """In a forked worker: leave as soon as the parent is gone; a worker without one would wait for work forever."""
    threading.Thread(target=_watch, args=(parent_pid,), name="parent-watch", daemon=True).start()


def _watch(parent_pid: int) -> None:
    while os.getppid() == parent_pid:
        time.sleep(_POLL_S)
    os._exit(1)
