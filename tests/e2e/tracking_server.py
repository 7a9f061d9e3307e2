"""What the tracking server of a release knows, asked by its REST interface: registered models and runs."""

from __future__ import annotations

import contextlib
import json
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlencode

from tests.e2e.kube import Cluster
from tests.e2e.port_forward import forward
from tests.e2e.release import RELEASE

_TIMEOUT_S = 30.0
_MAX_RESULTS = 500


@dataclass(frozen=True)
class TrackedRun:
    run_id: str
    parent_id: str
    """Empty = a parent itself."""
    status: str
    tags: Mapping[str, str]
    metrics: Mapping[str, float]
    """The last value of each."""


class Point(NamedTuple):
    """Of a metric's curve."""

    step: int
    value: float
    time_ms: int


@dataclass(frozen=True)
class TrackingServer:
    url: str

    def models(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._ask("registered-models/search").get("registered_models", [])
        return found

    def aliases(self, model: str) -> dict[str, dict[str, Any]]:
        """Alias -> version of the model, with `source`, `run_id` and `tags`."""
        [entry] = [m for m in self.models() if m["name"] == model]
        names = [a["alias"] for a in entry.get("aliases", [])]
        ask = "registered-models/alias?name={}&alias={}"
        return {name: self._ask(ask.format(model, name))["model_version"] for name in names}

    def runs(self, run_id: str) -> list[TrackedRun]:
        """The parent and the children of one pipeline, any order."""
        experiments = self._ask("experiments/search?max_results=100")["experiments"]
        body = {
            "experiment_ids": [e["experiment_id"] for e in experiments],
            "filter": f"tags.`mimo.run_id` = '{run_id}'",
            "max_results": _MAX_RESULTS,
        }
        return [_run(r) for r in self._ask("runs/search", body).get("runs", [])]

    def points(self, run: str, metric: str) -> list[Point]:
        """All that the server keeps, in order; `run` is its own id."""
        found = self._ask(f"metrics/get-history?{urlencode({'run_id': run, 'metric_key': metric})}")
        return sorted(Point(m["step"], m["value"], m["timestamp"]) for m in found.get("metrics", []))

    def _ask(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/api/2.0/mlflow/{path}", data=data)
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
            found: dict[str, Any] = json.load(answer)
        return found


@contextlib.contextmanager
def open_tracking(cluster: Cluster, namespace: str, release: str = RELEASE) -> Iterator[TrackingServer]:
    with forward(cluster, namespace, f"svc/{release}-mlflow", 5000) as port:
        yield TrackingServer(f"http://127.0.0.1:{port}")


def _run(body: Mapping[str, Any]) -> TrackedRun:
    tags = {t["key"]: t["value"] for t in body["data"].get("tags", [])}
    metrics = {m["key"]: m["value"] for m in body["data"].get("metrics", [])}
    return TrackedRun(body["info"]["run_id"], tags.get("mlflow.parentRunId", ""), body["info"]["status"], tags, metrics)
