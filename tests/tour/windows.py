"""What does each window show of that run at one moment?"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.cli_dashboards import page as dashboards_page
from jobs.cli_target import open_target
from operators.mimo_pipeline.local.state import RunFolder
from tests.browser import Browser, Page
from tests.integration.observability.exporters import wait_until
from tests.tour.faulty_run import FAILED, HAS_KFP, KILLED, STEPS_LOG, environ
from tests.tour.looking import ROOT, report_rows, take_picture
from tests.tour.told_by_dashboards import by_panel, shows_state


@dataclass(frozen=True)
class Tracked:
    """What MLflow knows of an attempt, and what its page shows."""

    status: str
    reason: str
    message: str
    page: str


@dataclass
class Windows:
    """What each window shows of a run at one time."""

    status: dict[str, Any]
    table: str
    attempts: dict[str, list[dict[str, Any]]]
    report: dict[tuple[str, str], str]
    """The line of each stage and attempt on the page of the report."""
    mlflow: dict[str, Tracked]
    stages_json: list[dict[str, Any]]
    """Rows of the table of attempts that `finalize` leaves in MLflow; empty before."""
    dashboards: dict[str, list[str]]
    """Lines of each panel, by its title."""
    kubeflow: str
    """The log of the steps that follow the stages; empty without an environment of kfp."""

    def stage(self, name: str) -> dict[str, Any]:
        return next(s for s in self.status["status"]["stages"] if s["name"] == name)


@dataclass
class Look:
    folder: Path
    prometheus: str
    browser: Browser

    def around(self) -> Windows:
        report = json.loads(self._mimo("report", "--output", "json"))
        attempts = {s["name"]: s["attempts"] for s in report["stages"]}
        return Windows(
            status=json.loads(self._mimo("status", "--output", "json")),
            table=self._mimo("status"),
            attempts=attempts,
            report=report_rows(self._report()),
            stages_json=self._stages_json(),
            mlflow=self._mlflow([f"{s}-{n + 1}" for s in (KILLED, FAILED) for n in range(len(attempts.get(s, [])))]),
            dashboards=self.dashboards(),
            kubeflow=self._kubeflow(),
        )

    def wait_until_told(self, stage: str, state: str) -> None:
        """By those windows that look from time to time."""

        def is_told() -> bool:
            step = f"{stage}: {state}, attempt 2"
            return shows_state(self.dashboards(), stage, state) and (not HAS_KFP or step in self._kubeflow())

        wait_until(is_told, 90.0, lambda: f"{stage}: {self.dashboards()}\n{self._kubeflow()}")

    def _report(self) -> Page:
        """As `mimo report` has just written it."""
        page = self.browser.open((self.folder / "report.html").as_uri())
        assert page.errors == []
        take_picture(page, "failures-report")
        return page

    def _kubeflow(self) -> str:
        path = self.folder / STEPS_LOG
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def dashboards(self) -> dict[str, list[str]]:
        path = self.folder / "dashboards.html"
        chosen = {"namespace": ".*", "pipeline": ".*"}
        path.write_text(dashboards_page(self.prometheus, minutes=10, chosen=chosen), encoding="utf-8")
        page = self.browser.open(path.as_uri())
        assert page.errors == []
        take_picture(page, "failures-dashboards")
        return by_panel(page.text())

    def _stages_json(self) -> list[dict[str, Any]]:
        run_id = RunFolder(self.folder).load().run_id
        found = list(
            (self.folder / "store/runs" / run_id).glob("finalize/attempt-*/journal/files/pipeline/stages.json")
        )
        if not found:
            return []
        table = json.loads(found[0].read_text())
        return [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]

    def _mlflow(self, names: list[str]) -> dict[str, Tracked]:
        """Each attempt that is named, by its name."""
        target = open_target(self.folder, "", "", "", None)
        with target.open_tracking(target.load()) as address:
            found = {}
            for name, run in _runs(address, names).items():
                page = self.browser.open(f"{address.split('/runs/')[0]}/runs/{run['info']['run_id']}")
                page.wait_for_text(name)
                page.wait_for_text("mimo.attempt")
                tags = {t["key"]: t.get("value", "") for t in run["data"]["tags"]}
                reason, message = tags.get("mimo.reason", ""), tags.get("mimo.message", "")
                found[name] = Tracked(run["info"]["status"], reason, message, page.text())
                take_picture(page, f"failures-mlflow-{name}")
            return found

    def _mimo(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "jobs.cli", *arguments, "--run-dir", str(self.folder)]
        ended = subprocess.run(command, cwd=ROOT, env=environ(), capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout


def _runs(address: str, names: list[str]) -> dict[str, Any]:
    """By the server's own answer: the newest run of each name."""
    from mimo_vl.tracking.rest import MlflowRest

    rest = MlflowRest(address.split("/#/")[0], timeout_s=20.0)
    experiment = address.split("/experiments/")[1].split("/")[0]
    body = {"experiment_ids": [experiment], "order_by": ["attributes.start_time ASC"]}
    found = {r["info"]["run_name"]: r for r in rest.post("runs/search", body)["runs"]}
    return {name: found[name] for name in names}
