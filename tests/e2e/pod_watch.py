"""When did which pod live? Intervals of every pod of the pipelines in a namespace, recorded while a test goes on."""

from __future__ import annotations

import itertools
import json
import subprocess
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from tests.e2e.kube import Cluster

STAGE, ATTEMPT = "mimo.dev/stage", "mimo.dev/attempt"
_ENDED = ("Succeeded", "Failed")
_AGAIN_AFTER_S = 0.5


@dataclass
class PodInterval:
    """Seconds of this process's clock. `last_s`: when it was last known to be outside Succeeded and Failed."""

    stage: str
    attempt: int
    name: str
    first_s: float
    last_s: float
    phases: list[str] = field(default_factory=list)
    is_gone: bool = False

    @property
    def has_ended(self) -> bool:
        return self.is_gone or self.phases[-1] in _ENDED


class PodWatch:
    """Follows the API server's own watch in a thread; use it as a context manager."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster = cluster
        self._path = f"/api/v1/namespaces/{namespace}/pods?watch=true&labelSelector={STAGE.replace('/', '%2F')}"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._kubectl: subprocess.Popen[str] | None = None
        self.by_uid: dict[str, PodInterval] = {}
        self.num_events = 0

    def __enter__(self) -> PodWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._kubectl is not None:
            self._kubectl.terminate()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._follow()
            # What happened until the next watch begins is not known: pods that lived may have lived on.
            for pod in self.by_uid.values():
                if not pod.has_ended:
                    pod.last_s = time.monotonic()
            self._stop.wait(_AGAIN_AFTER_S)

    def _follow(self) -> None:
        """Until the server, or kubectl, ends it; an event per line, those of pods that are there already first."""
        command = ("kubectl", "get", "--raw", self._path)
        environ = self._cluster.command_environ()
        with subprocess.Popen(
            command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as asked:
            self._kubectl = asked
            if self._stop.is_set():  # between our look at it and the start of kubectl
                asked.terminate()
            assert asked.stdout is not None
            for line in asked.stdout:
                event = json.loads(line)
                if event["object"].get("kind") == "Pod":
                    self.num_events += 1
                    self._record(event["type"], event["object"], time.monotonic())

    def _record(self, kind: str, pod: dict[str, Any], now_s: float) -> None:
        meta, phase = pod["metadata"], pod["status"].get("phase", "Pending")
        seen = self.by_uid.get(meta["uid"])
        if seen is None:
            labels = meta["labels"]
            seen = PodInterval(labels[STAGE], int(labels[ATTEMPT]), meta["name"], now_s, now_s, [phase])
            self.by_uid[meta["uid"]] = seen
        if not seen.has_ended:
            # It lived until this event at the latest.
            seen.last_s = now_s
        if seen.phases[-1] != phase:
            seen.phases.append(phase)
        seen.is_gone = seen.is_gone or kind == "DELETED"

    def attempts(self, stage: str) -> dict[int, list[PodInterval]]:
        found: dict[int, list[PodInterval]] = {}
        for pod in list(self.by_uid.values()):
            if pod.stage == stage:
                found.setdefault(pod.attempt, []).append(pod)
        return dict(sorted(found.items()))

    def overlaps(self) -> list[str]:
        """Pairs of attempts of one stage that were alive at the same time; empty is what must be."""
        wrong = []
        for stage in sorted({pod.stage for pod in list(self.by_uid.values())}):
            attempts = list(self.attempts(stage).items())
            for (number, pods), (later, later_pods) in itertools.pairwise(attempts):
                end, start = max(p.last_s for p in pods), min(p.first_s for p in later_pods)
                if start < end:
                    wrong.append(f"{stage}: attempt {later} began {end - start:.1f} s before attempt {number} ended")
        return wrong
