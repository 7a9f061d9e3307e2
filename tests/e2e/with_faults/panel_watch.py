"""A Prometheus that scrapes the pods of a namespace by their annotations, and which panels it could draw meanwhile."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from mimo_vl.errors import MimoError
from mimo_vl.free_port import free_port
from mimo_vl.observability.dashboards.page import PageRequest, last_minutes
from mimo_vl.observability.dashboards.prometheus_api import PrometheusApi
from tests.e2e.kube import Cluster, CommandError
from tests.integration.observability.exporters import stop
from tests.integration.observability.panels import EMPTY_ON_CPUS, all_panels, has_data

# As often as it scrapes: the pod of a short stage serves for five seconds.
_INTERVAL_S = 2.0
_ASK_EVERY = 8
# A scrape, and a round of the operator that reads the last manifest.
_LAST_VALUES_S = 60.0
_SCRAPE, _PORT = "prometheus.io/scrape", "prometheus.io/port"


class PanelWatch:
    """Polls in a thread; use it as a context manager. `program` "" = there is no Prometheus, and nothing is watched."""

    def __init__(self, cluster: Cluster, namespace: str, program: str, folder: Path) -> None:
        self._cluster, self._namespace, self._program, self._folder = cluster, namespace, program, folder
        self._targets = folder / "targets.json"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._process: subprocess.Popen[bytes] | None = None
        self.empty = {name: panel for name, panel in all_panels().items() if name not in EMPTY_ON_CPUS}
        """Panels that have had no data so far; the nodes have no GPU."""

    def __enter__(self) -> PanelWatch:
        if self._program:
            port = free_port()
            self._api = PrometheusApi(f"http://127.0.0.1:{port}")
            self._process = self._start(port)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._process is not None:
            self._thread.join()
            stop(self._process)

    def finish(self) -> list[str]:
        """The panels that never had data. What the last stage left gets the time to be read and scraped."""
        until = time.monotonic() + _LAST_VALUES_S
        while self._program and self.empty and time.monotonic() < until:
            time.sleep(_INTERVAL_S)
        return sorted(self.empty)

    def _start(self, port: int) -> subprocess.Popen[bytes]:
        self._targets.write_text("[]")
        # JSON is YAML.
        pods = {"job_name": "pods", "file_sd_configs": [{"files": [str(self._targets)], "refresh_interval": "1s"}]}
        settings = {"global": {"scrape_interval": "2s", "scrape_timeout": "2s"}, "scrape_configs": [pods]}
        (self._folder / "prometheus.yml").write_text(json.dumps(settings))
        command = [self._program, f"--config.file={self._folder / 'prometheus.yml'}"]
        command += [f"--storage.tsdb.path={self._folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}"]
        with (self._folder / "prometheus.log").open("wb") as log:
            return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)

    def _run(self) -> None:
        num_rounds = 0
        while not self._stop.wait(_INTERVAL_S):
            num_rounds += 1
            try:
                self._name_targets(self._cluster.list("pods", self._namespace))
                if num_rounds % _ASK_EVERY == 0:
                    self._ask()
            except (CommandError, MimoError):
                # The cluster, or Prometheus, is starting or busy.
                continue

    def _name_targets(self, pods: list[dict[str, Any]]) -> None:
        found = []
        for pod in pods:
            notes, address = pod["metadata"].get("annotations", {}), pod["status"].get("podIP")
            if notes.get(_SCRAPE) == "true" and address and pod["status"].get("phase") == "Running":
                labels = {"namespace": self._namespace, "pod": pod["metadata"]["name"]}
                found.append({"targets": [f"{address}:{notes[_PORT]}"], "labels": labels})
        new = self._targets.with_suffix(".new")
        new.write_text(json.dumps(found))
        new.replace(self._targets)

    def _ask(self) -> None:
        chosen = {"namespace": self._namespace, "pipeline": ".*"}
        request = PageRequest(source=self._api, over=last_minutes(3, time.time()), variables=chosen)
        self.empty = {name: panel for name, panel in self.empty.items() if not has_data(panel, request)}
