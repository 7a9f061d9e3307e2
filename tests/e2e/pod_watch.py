"""When did which pod live? Intervals of every pod of the pipelines in a namespace, recorded while a test goes on."""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from tests.e2e.kube import Cluster, CommandError

_INTERVAL_S = 0.5
STAGE, ATTEMPT = "mimo.dev/stage", "mimo.dev/attempt"


@dataclass
class PodInterval:
    """Seconds of this process's clock. `last_s`: when it was last seen outside Succeeded and Failed."""

    stage: str
    attempt: int
    name: str
    first_s: float
    last_s: float
    phases: list[str] = field(default_factory=list)


class PodWatch:
    """Polls in a thread; use it as a context manager."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster, self._namespace = cluster, namespace
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.by_uid: dict[str, PodInterval] = {}
        self.num_polls = 0

    def __enter__(self) -> PodWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(_INTERVAL_S):
            try:
                pods = self._cluster.list("pods", self._namespace, STAGE)
            except CommandError:
                continue
            self.num_polls += 1
            for pod in pods:
                self._record(pod, time.monotonic())

    def _record(self, pod: dict[str, Any], now_s: float) -> None:
        meta, phase = pod["metadata"], pod["status"].get("phase", "Pending")
        seen = self.by_uid.get(meta["uid"])
        if seen is None:
            labels = meta["labels"]
            seen = PodInterval(labels[STAGE], int(labels[ATTEMPT]), meta["name"], now_s, now_s)
            self.by_uid[meta["uid"]] = seen
        if phase not in ("Succeeded", "Failed"):
            seen.last_s = now_s
        if not seen.phases or seen.phases[-1] != phase:
            seen.phases.append(phase)

    def attempts(self, stage: str) -> dict[int, list[PodInterval]]:
        found: dict[int, list[PodInterval]] = {}
        for pod in self.by_uid.values():
            if pod.stage == stage:
                found.setdefault(pod.attempt, []).append(pod)
        return dict(sorted(found.items()))

    def overlaps(self) -> list[str]:
        """Pairs of attempts of one stage that were alive at the same time; empty is what must be."""
        wrong = []
        for stage in sorted({pod.stage for pod in self.by_uid.values()}):
            attempts = list(self.attempts(stage).items())
            for (number, pods), (later, later_pods) in itertools.pairwise(attempts):
                end, start = max(p.last_s for p in pods), min(p.first_s for p in later_pods)
                if start < end:
                    wrong.append(f"{stage}: attempt {later} began {end - start:.1f} s before attempt {number} ended")
        return wrong
