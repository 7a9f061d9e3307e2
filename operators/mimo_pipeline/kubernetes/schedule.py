"""Which key is due next: de-duplicated, never handed out twice at once, with capped back-off. Pure."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

# Back-off after errors: 1, 2, 4, ... seconds up to the cap.
_FIRST_BACKOFF_S, _MAX_BACKOFF_S = 1.0, 60.0


class Schedule(Generic[K]):
    """Keys with the time at which each is due. A key that is being worked on waits until it is done."""

    def __init__(self) -> None:
        self._due_s: dict[K, float] = {}
        self._busy: set[K] = set()
        self._errors: dict[K, int] = {}

    def __len__(self) -> int:
        """Keys that wait."""
        return len(self._due_s)

    def add(self, key: K, at_s: float) -> None:
        """The earlier of two times counts."""
        self._due_s[key] = min(at_s, self._due_s.get(key, at_s))

    def take(self, now_s: float) -> K | None:
        """The key that has been due for longest, if any; it is busy until `done`."""
        due = [(at_s, i, key) for i, (key, at_s) in enumerate(self._due_s.items()) if key not in self._busy]
        ready = [entry for entry in due if entry[0] <= now_s]
        if not ready:
            return None
        key = min(ready, key=lambda entry: entry[:2])[2]
        del self._due_s[key]
        self._busy.add(key)
        return key

    def done(self, key: K, now_s: float, again_in_s: float | None = None) -> None:
        """It went well."""
        self._busy.discard(key)
        self._errors.pop(key, None)
        if again_in_s is not None:
            self.add(key, now_s + again_in_s)

    def failed(self, key: K, now_s: float) -> float:
        """It did not; returns the seconds until it is tried again, unless an event comes before."""
        self._busy.discard(key)
        errors = self._errors.get(key, 0)
        self._errors[key] = errors + 1
        delay_s = min(_MAX_BACKOFF_S, _FIRST_BACKOFF_S * 2.0 ** min(errors, 30))
        self._due_s[key] = now_s + delay_s
        return delay_s

    def next_due_s(self) -> float | None:
        """When the next key that nobody works on is due."""
        return min((at_s for key, at_s in self._due_s.items() if key not in self._busy), default=None)
