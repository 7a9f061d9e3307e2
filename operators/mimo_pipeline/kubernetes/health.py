"""Is this process still good for anything? A stalled watch, a stuck worker or an old lease says no."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

# An own status write comes back as a watch event; this long without it, the watch is dead.
ECHO_TIMEOUT_S = 180.0
# A round is a few dozen requests with time limits of their own.
WORKER_TIMEOUT_S = 600.0


@dataclass(kw_only=True)
class Health:
    """`standby` replicas have no watch and no workers: only their lease loop counts."""

    clock: Callable[[], float] = time.monotonic
    lease_age_s: Callable[[], float] = lambda: 0.0
    lease_timeout_s: float = 30.0
    worker_beats_s: Mapping[int, float] = field(default_factory=dict)
    last_event_s: float = float("-inf")
    _awaited_s: dict[tuple[str, str], float] = field(default_factory=dict)
    _seen_s: dict[tuple[str, str], float] = field(default_factory=dict)

    def status_written(self, namespace: str, name: str, began_s: float) -> None:
        """An event of this pipeline is due, unless it came before the answer to the write that began then."""
        key = (namespace, name)
        self._awaited_s.setdefault(key, self.clock())
        # Called from a worker's thread: an event from here on finds the key above.
        if self._seen_s.get(key, float("-inf")) >= began_s:
            self._awaited_s.pop(key, None)

    def event_seen(self, namespace: str, name: str) -> None:
        self.last_event_s = self._seen_s[namespace, name] = self.clock()
        self._awaited_s.pop((namespace, name), None)

    def watch_restarted(self) -> None:
        """A new watch begins with a list; what was awaited of the old one proves nothing."""
        self._awaited_s.clear()

    def event_age_s(self) -> float:
        return self.clock() - self.last_event_s

    def problems(self) -> list[str]:
        now_s = self.clock()
        found = []
        late = [
            f"{ns}/{name}" for (ns, name), since_s in list(self._awaited_s.items()) if now_s - since_s > ECHO_TIMEOUT_S
        ]
        if late:
            found.append(f"watch: no event of {late[0]} for {ECHO_TIMEOUT_S:.0f} s after its status was written")
        for worker, beat_s in sorted(self.worker_beats_s.items()):
            if now_s - beat_s > WORKER_TIMEOUT_S:
                found.append(f"worker {worker}: in one round for {now_s - beat_s:.0f} s")
        if self.lease_age_s() > self.lease_timeout_s:
            found.append(f"lease: not looked at for {self.lease_age_s():.0f} s")
        return found
