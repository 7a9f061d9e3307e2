"""Renews a lease while this replica works, and ends the process at once when it is lost.

In two threads of its own: rounds that fill the executor, a cancelled task or a request that hangs hold up neither the
renewal nor, above all, the look at the deadline.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable

from mimo_vl.errors import EXIT_RETRY
from operators.mimo_pipeline.kubernetes.lease import REQUEST_LIMIT_S, RETRY_S, LeaseHolder

logger = logging.getLogger(__name__)

_RENEW_EVERY_S = RETRY_S / 2
# How much later than its deadline the process may end; the standby begins 5 s after it.
_LOOK_EVERY_S = 0.5


def end_at_once() -> None:
    """A thread in the middle of a round must not write any more."""
    logger.error("lease lost; ending at once")
    os._exit(EXIT_RETRY)


class LeaseKeeper:
    """`start` it when the lease is held, `stop` it when nothing is written any more."""

    def __init__(
        self, lease: LeaseHolder, *, on_loss: Callable[[], None] = end_at_once, renew_every_s: float = _RENEW_EVERY_S
    ) -> None:
        self._lease, self._on_loss, self._renew_every_s = lease, on_loss, renew_every_s
        self._renewed_enough, self._over = threading.Event(), threading.Event()
        self._renewing = threading.Thread(target=self._renew, name="lease-renewal", daemon=True)
        self._looking = threading.Thread(target=self._look, name="lease-deadline", daemon=True)

    def start(self) -> None:
        self._renewing.start()
        self._looking.start()

    def stop(self) -> None:
        """Release it for the other replica, after the last renewal has ended."""
        self._renewed_enough.set()
        if self._renewing.ident is not None:
            # A renewal is two requests.
            self._renewing.join(2 * REQUEST_LIMIT_S)
        self._over.set()
        self._lease.release()

    def _renew(self) -> None:
        while not self._renewed_enough.wait(self._renew_every_s):
            if not self._lease.try_once():
                self._on_loss()
                return

    def _look(self) -> None:
        while not self._over.wait(_LOOK_EVERY_S):
            if self._lease.is_lost():
                self._on_loss()
                return
