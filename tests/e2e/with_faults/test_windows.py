"""The run with faults as people look at it: MLflow, the dashboards, the report, a run in Kubeflow Pipelines, kubectl.

Pictures go to runs/tour/. The worker and the Ray head that were lost must be told beside what succeeded.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs.cli_dashboards import page as dashboards_page
from jobs.kfp_local import DEFAULT_KFP_PYTHON
from mimo_vl.free_port import free_port
from operators.mimo_pipeline.kubeflow.package import PACKAGES
from tests.browser import Browser, open_browser
from tests.e2e.port_forward import forward
from tests.e2e.release import RELEASE, ROOT
from tests.e2e.tracking_server import open_tracking
from tests.e2e.with_faults.drive import NAMESPACE, PIPELINE, FaultRun
from tests.integration.observability.exporters import start_prometheus, stop, wait_until
from tests.tour.looking import take_picture

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

# Each lost a pod in its first attempt.
HURT = ("multimodal-pretraining", "morl")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as found:
        yield found


def test_kubectl_shows_the_pipeline(run: FaultRun) -> None:
    [row] = run.cluster.kubectl("get", "mp", PIPELINE, "-n", NAMESPACE, "--no-headers").splitlines()
    assert row.split()[:2] == [PIPELINE, "Succeeded"]


@pytest.mark.parametrize("stage", HURT)
def test_mlflow_shows_the_lost_attempt_and_the_one_that_succeeded(run: FaultRun, browser: Browser, stage: str) -> None:
    with open_tracking(run.cluster, NAMESPACE) as tracking:
        runs = {(r.tags.get("mimo.stage"), r.tags.get("mimo.attempt")): r for r in tracking.runs(run.run_id)}
        experiment = run.pipeline()["status"]["mlflow"].split("/experiments/")[1].split("/")[0]
        for attempt, states in (("1", {"FAILED": "Failed", "KILLED": "Killed"}), ("2", {"FINISHED": "Finished"})):
            tracked = runs[stage, attempt]
            page = browser.open(f"{tracking.url}/#/experiments/{experiment}/runs/{tracked.run_id}")
            page.wait_for_text(f"{stage}-{attempt}")
            page.wait_for_text(states[tracked.status])
            if attempt == "1":
                reason, message = tracked.tags["mimo.reason"], tracked.tags["mimo.message"]
                assert reason
                assert message
                page.wait_for_text(message.splitlines()[0])
            else:
                assert "mimo.reason" not in tracked.tags
            take_picture(page, f"cluster-mlflow-{stage}-{attempt}")


def test_the_report_shows_every_attempt(run: FaultRun, browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    command = ("-m", "jobs.cli", "report", "--pipeline", PIPELINE, "-n", NAMESPACE, "--to", str(path))
    found = json.loads(run.cluster.run(sys.executable, *command, "--output", "json"))
    attempts = {s["name"]: s["attempts"] for s in found["stages"]}
    for stage in HURT:
        assert [a["state"] for a in attempts[stage]][1:] == ["Succeeded"]
        assert attempts[stage][0]["state"] in ("Failed", "Lost", "Interrupted")
        assert attempts[stage][0]["message"]
    page = browser.open(path.as_uri())
    text = page.text()
    assert [s["name"] for s in run.pipeline()["status"]["stages"] if s["name"] not in text] == []
    assert page.errors == []
    assert [url for url in page.requests if not url.startswith(("file:", "data:"))] == []
    take_picture(page, "cluster-report")


@pytest.mark.skipif(not shutil.which("prometheus"), reason="no prometheus: apt-get install prometheus")
def test_the_dashboards_show_the_attempts(run: FaultRun, browser: Browser, tmp_path: Path) -> None:
    program, own, path = shutil.which("prometheus"), free_port(), tmp_path / "dashboards.html"
    assert program is not None
    chosen = {"namespace": NAMESPACE, "pipeline": PIPELINE}

    def draw() -> str:
        try:
            path.write_text(dashboards_page(f"http://127.0.0.1:{own}", minutes=5, chosen=chosen), encoding="utf-8")
        except Exception as error:  # noqa: BLE001 - it is starting; the deadline shows the last error
            path.write_text(str(error), encoding="utf-8")
        return path.read_text(encoding="utf-8")

    with forward(run.cluster, NAMESPACE, f"svc/{RELEASE}-operator", 8081) as operator:
        process = start_prometheus(program, tmp_path / "prometheus", own, [f"127.0.0.1:{operator}"])
        try:
            wait_until(lambda: HURT[0] in draw(), 90.0, lambda: draw()[:2000])
        finally:
            stop(process)
    page = browser.open(path.as_uri())
    text = page.text()
    assert [s["name"] for s in run.pipeline()["status"]["stages"] if s["name"] not in text] == []
    assert page.errors == []
    take_picture(page, "cluster-dashboards")


@pytest.mark.usefixtures("devcluster_only")
@pytest.mark.skipif(not shutil.which("prometheus"), reason="no prometheus: apt-get install prometheus")
def test_every_panel_had_data_while_the_pipeline_ran(watched: FaultRun) -> None:
    """Of pods scraped by their annotations, during the run and its faults."""
    assert watched.notes["empty_panels"] == []


@pytest.mark.skipif(not DEFAULT_KFP_PYTHON.is_file(), reason="no environment of kfp: make setup-kfp")
def test_a_run_in_kubeflow_pipelines_follows_every_stage(run: FaultRun, tmp_path: Path) -> None:
    parameters = {"name": PIPELINE, "namespace": NAMESPACE, "follow": True, "kfp_endpoint": "", "deadline_s": 300.0}
    package = str(PACKAGES / "tiny.yaml")
    command = [str(DEFAULT_KFP_PYTHON), "-m", "jobs.kfp_local", "--execute", package, json.dumps(parameters)]
    ended = subprocess.run(
        [*command, str(tmp_path)],
        env={**run.cluster.command_environ(), "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ended.returncode == 0, (ended.stdout + ended.stderr)[-4000:]
    handed_on = _references(tmp_path)
    for stage in run.pipeline()["status"]["stages"]:
        if stage["name"] != "finalize":
            found = handed_on[stage["name"]]
            assert (found["digest"], found["attempt"]) == (stage["digest"], stage["attempt"])


def _references(folder: Path) -> dict[str, dict[str, Any]]:
    """By stage: what its step says of the output."""
    found = {}
    for path in folder.rglob("executor_output.json"):
        for artifacts in json.loads(path.read_text()).get("artifacts", {}).values():
            for artifact in artifacts["artifacts"]:
                metadata = artifact.get("metadata", {})
                if "digest" in metadata:
                    found[metadata["stage"]] = metadata
    return found
