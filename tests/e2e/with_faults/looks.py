"""What the windows say of a stage whose first attempt has ended badly, while the second one runs."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tests.e2e.kube import eventually
from tests.e2e.tracking_server import TrackedRun, open_tracking

if TYPE_CHECKING:
    from tests.e2e.with_faults.drive import FaultRun


@dataclass(frozen=True)
class Look:
    stage: dict[str, Any]
    """Of `mimo status --output json`, which is the status of the resource."""
    table: str
    """`mimo status`"""
    attempts: list[dict[str, Any]]
    """Of `mimo report --output json`."""
    tracked: dict[str, TrackedRun]
    """Attempt -> its run in MLflow."""
    log: str
    """`mimo logs --attempt 1`, whose pods are gone."""


def look(run: FaultRun, namespace: str, pipeline: str, stage: str) -> Look:
    def mimo(*arguments: str) -> str:
        return run.cluster.run(sys.executable, "-m", "jobs.cli", *arguments, "--pipeline", pipeline, "-n", namespace)

    with TemporaryDirectory() as folder, ThreadPoolExecutor() as pool:
        # Beside each other: the stage is held meanwhile.
        asked = {
            "status": pool.submit(mimo, "status", "--output", "json"),
            "table": pool.submit(mimo, "status"),
            "report": pool.submit(mimo, "report", "--to", f"{folder}/report.html", "--output", "json"),
            "log": pool.submit(mimo, "logs", stage, "--attempt", "1"),
        }
        said = {name: answer.result() for name, answer in asked.items()}
    status, report = json.loads(said["status"])["status"], json.loads(said["report"])
    with open_tracking(run.cluster, namespace) as tracking:

        def tracked() -> dict[str, TrackedRun] | None:
            """Once the second attempt has told in the background why the first one ended."""
            runs = [r for r in tracking.runs(run.run_id) if r.tags.get("mimo.stage") == stage]
            found = {r.tags["mimo.attempt"]: r for r in runs}
            return found if set(found) == {"1", "2"} and "mimo.reason" in found["1"].tags else None

        told = eventually(f"MLflow has both attempts of {stage}", tracked, deadline_s=60.0, explain=lambda: stage)
    return Look(
        stage=next(s for s in status["stages"] if s["name"] == stage),
        table=said["table"],
        attempts=next(s["attempts"] for s in report["stages"] if s["name"] == stage),
        tracked=told,
        log=said["log"],
    )
