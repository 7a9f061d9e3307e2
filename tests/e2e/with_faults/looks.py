"""What the windows say of a stage whose first attempt has ended badly, while the second one runs."""

from __future__ import annotations

import json
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from mimo_vl.observability.metrics import STAGE_LAST_FAILURE
from operators.mimo_pipeline.pipeline_metrics import shown_message
from tests.e2e.kube import eventually
from tests.e2e.release import RELEASE
from tests.e2e.shown_metrics import read_metrics
from tests.e2e.tracking_server import TrackedRun, open_tracking

if TYPE_CHECKING:
    from tests.e2e.with_faults.drive import FaultRun

# The second attempt tells in the background why the first one ended.
TOLD_WITHIN_S = 60.0
_FAILURES = STAGE_LAST_FAILURE.prometheus_name


@dataclass(frozen=True)
class Words:
    """How an attempt ended, as the controller says it."""

    reason: str
    message: str


def controllers_words(stage: dict[str, Any], attempt: int = 1) -> Words:
    """Of an attempt that ended badly: `stage` as the status of the resource has it."""
    failure = stage["lastFailure"]
    assert failure["attempt"] == attempt, failure
    return Words(failure["reason"], failure["message"])


def told_by_report(attempt: dict[str, Any]) -> Words:
    """`attempt`: of `mimo report --output json`."""
    return Words(attempt["reason"], attempt["message"])


def told_by_mlflow(run: TrackedRun) -> Words:
    """Neither has a tag where nothing went wrong."""
    return Words(run.tags.get("mimo.reason", ""), run.tags.get("mimo.message", ""))


def told_by_operator(metrics: str, stage: str) -> Words:
    """`metrics`: as the operator shows them, which the dashboards ask for. The message is cut: compare with `shown`."""
    [found] = [
        line for line in metrics.splitlines() if line.startswith(f"{_FAILURES}{{") and f'stage="{stage}"' in line
    ]
    labels = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', found))
    assert labels["attempt"] == "1", found
    return Words(labels["reason"], re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], labels["message"]))


def shown(words: Words) -> Words:
    """As labels have them."""
    return Words(words.reason, shown_message(words.message))


@dataclass(frozen=True)
class Look:
    stage: dict[str, Any]
    """Of `mimo status --output json`, which is the status of the resource."""
    kubectl: str
    """The row of `kubectl get -o wide`."""
    metrics: str
    """What the operator shows to Prometheus."""
    table: str
    """`mimo status`, a stage in a line."""
    attempts: list[dict[str, Any]]
    """Of `mimo report --output json`."""
    tracked: dict[str, TrackedRun]
    """Attempt -> its run in MLflow."""
    log: str
    """`mimo logs --attempt 1`, whose pods are gone."""


def look(run: FaultRun, namespace: str, pipeline: str, stage: str) -> Look:
    def mimo(*arguments: str) -> str:
        return run.cluster.run(sys.executable, "-m", "jobs.cli", *arguments, "--pipeline", pipeline, "-n", namespace)

    def in_one_line(*arguments: str) -> str:
        command = ("env", "COLUMNS=4000", sys.executable, "-m", "jobs.cli", *arguments)
        return run.cluster.run(*command, "--pipeline", pipeline, "-n", namespace)

    wide = ("-o", "wide", "--no-headers")
    with TemporaryDirectory() as folder, ThreadPoolExecutor() as pool:
        # Beside each other: the stage is held meanwhile.
        asked = {
            "status": pool.submit(mimo, "status", "--output", "json"),
            "table": pool.submit(in_one_line, "status"),
            "kubectl": pool.submit(run.cluster.kubectl, "get", "mp", pipeline, *wide, "-n", namespace),
            "metrics": pool.submit(read_metrics, run.cluster, namespace, f"svc/{RELEASE}-operator", 8081),
            "report": pool.submit(mimo, "report", "--to", f"{folder}/report.html", "--output", "json"),
            "log": pool.submit(mimo, "logs", stage, "--attempt", "1"),
        }
        said = {name: answer.result() for name, answer in asked.items()}
    status, report = json.loads(said["status"])["status"], json.loads(said["report"])
    with open_tracking(run.cluster, namespace) as tracking:

        def tracked() -> dict[str, TrackedRun] | None:
            runs = [r for r in tracking.runs(run.run_id) if r.tags.get("mimo.stage") == stage]
            found = {r.tags["mimo.attempt"]: r for r in runs}
            return found if set(found) == {"1", "2"} else None

        now = next(s for s in status["stages"] if s["name"] == stage)
        until_s = time.monotonic() + TOLD_WITHIN_S
        while True:
            told = eventually(f"MLflow has both attempts of {stage}", tracked, deadline_s=60.0, explain=lambda: stage)
            if told_by_mlflow(told["1"]) == controllers_words(now) or time.monotonic() > until_s:
                break
            time.sleep(1.0)
    return Look(
        stage=now,
        kubectl=said["kubectl"],
        metrics=said["metrics"],
        table=said["table"],
        attempts=next(s["attempts"] for s in report["stages"] if s["name"] == stage),
        tracked=told,
        log=said["log"],
    )
