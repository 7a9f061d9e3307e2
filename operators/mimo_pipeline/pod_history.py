"""What was ever seen of pods that may be gone by now. In memory: it only makes messages and order of events better."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import replace

from operators.mimo_pipeline.cluster_pods import PodFacts, merge

# Pods remembered over all pipelines; the oldest go first.
_MAX_PODS = 20_000


class PodHistory:
    """Fed by watch events and lists, from several threads."""

    def __init__(self, max_pods: int = _MAX_PODS) -> None:
        self._pods: OrderedDict[tuple[str, str], PodFacts] = OrderedDict()
        self._lock = threading.Lock()
        self._max_pods = max_pods
        self._sequence = 0

    def record(self, namespace: str, pod: PodFacts) -> PodFacts:
        """Returns all that is known of this pod now."""
        with self._lock:
            self._sequence += 1
            key = (namespace, pod.uid)
            known = self._pods.get(key)
            pod = pod if known is None else merge(known, pod)
            if pod.deletion_requested_at is not None and pod.deletion_seen is None:
                pod = replace(pod, deletion_seen=self._sequence)
            if pod.failures and pod.failure_seen is None:
                pod = replace(pod, failure_seen=self._sequence)
            self._pods[key] = pod
            self._pods.move_to_end(key)
            while len(self._pods) > self._max_pods:
                self._pods.popitem(last=False)
            return pod

    def of(self, namespace: str, pipeline: str) -> list[PodFacts]:
        with self._lock:
            return [p for (n, _), p in self._pods.items() if n == namespace and p.pipeline == pipeline]

    def forget(self, namespace: str, pipeline: str) -> None:
        with self._lock:
            for key in [k for k, p in self._pods.items() if k[0] == namespace and p.pipeline == pipeline]:
                del self._pods[key]
