"""How busy are the nodes on which MORL runs beside the driver's own? Looked at in the background, told to the driver.

Nothing of it concerns the training: whatever goes wrong is logged once, and the next look tries again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

logger = logging.getLogger(__name__)

# Whoever answers later is heard at the next look.
_ANSWER_S = 2.0
# stop() does not wait longer for a look that hangs.
_STOP_S = 5.0


class NodeProbes(Protocol):
    """Processes that sample their nodes."""

    def sample(self, timeout_s: float) -> Mapping[str, float]:
        """What nodes answered within the time, by full names such as system/process_pss/node-2."""
        ...

    def stop(self) -> None: ...


class NodeMetricsThread:
    """Calls `report(values, sample index)` every `interval_s`; 0 = never."""

    def __init__(
        self, probes: NodeProbes, report: Callable[[Mapping[str, float], int], None], *, interval_s: float
    ) -> None:
        self._probes = probes
        self._report = report
        self._interval_s = interval_s
        self._stop = threading.Event()
        self._has_failed = False
        self._thread = threading.Thread(target=self._run, name="node-metrics", daemon=True)

    def start(self) -> None:
        if self._interval_s > 0:
            self._thread.start()

    def stop(self) -> None:
        """Afterwards nothing is reported, and the probes are told to end."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_S)

    def _run(self) -> None:
        index = 0
        while not self._stop.wait(self._interval_s):
            with self._carefully():
                index += self._look(index)
        with self._carefully():
            self._probes.stop()

    def _look(self, index: int) -> int:
        """Number of reports: 1 or 0."""
        values = self._probes.sample(min(self._interval_s, _ANSWER_S))
        if not values or self._stop.is_set():
            return 0
        self._report(values, index)
        return 1

    @contextmanager
    def _carefully(self) -> Iterator[None]:
        try:
            yield
        # Whatever Ray, a lost node or the tracker raises: it is not worth the training.
        except Exception as error:  # noqa: BLE001
            if not self._has_failed:
                logger.warning("system metrics of other nodes are incomplete: %s: %s", type(error).__name__, error)
            self._has_failed = True
