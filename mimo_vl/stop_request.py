"""Was this process asked to stop? A flag for signal handlers, which `threading.Event` is not."""

from __future__ import annotations


class StopRequest:
    """Set once, by a signal handler or any thread; never waited for.

    It has no lock. A handler runs between two instructions of the main thread, also of another handler's: `Event.set()`
    interrupted by a second signal while it holds its lock waits for itself, for ever.
    """

    def __init__(self) -> None:
        self._is_set = False

    def set(self) -> None:
        self._is_set = True

    def is_set(self) -> bool:
        return self._is_set
