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
from mimo_vl.storage.layout import attempt_prefix
from operators.mimo_pipeline.kubeflow.package import PACKAGES
from tests.browser import Browser, open_browser
from tests.e2e.port_forward import forward, open_release_store
from tests.e2e.release import RELEASE, ROOT
from tests.e2e.tracking_server import open_tracking
from tests.e2e.with_faults.drive import CRASHED, LOST, NAMESPACE, PIPELINE, FaultRun
from tests.e2e.with_faults.looks import Words, controllers_words, told_by_mlflow, told_by_report
from tests.e2e.with_faults.wanted import WANTED, skip_unless_hurt
from tests.integration.observability.exporters import start_prometheus, stop, wait_until
from tests.tour.looking import report_rows, take_picture
from tests.tour.told_by_dashboards import by_panel, shows_attempt, shows_failure, shows_state

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

# Each lost a pod or a rank in its first attempt.
HURT = pytest.mark.parametrize("stage", list(WANTED))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as found:
        yield found


def test_kubectl_shows_the_pipeline(run: FaultRun) -> None:
    [row] = run.cluster.kubectl("get", "mp", PIPELINE, "-n", NAMESPACE, "--no-headers").splitlines()
    assert row.split()[:2] == [PIPELINE, "Succeeded"]


@HURT
def test_the_status_keeps_why_the_first_attempt_ended(run: FaultRun, stage: str) -> None:
    skip_unless_hurt(run, stage)
    found = run.stage(stage)
    assert (found["state"], found["attempt"]) == ("Succeeded", 2)
    WANTED[stage].check(controllers_words(found))


@HURT
def test_mlflow_shows_the_lost_attempt_and_the_one_that_succeeded(run: FaultRun, browser: Browser, stage: str) -> None:
    skip_unless_hurt(run, stage)
    wanted, words = WANTED[stage], controllers_words(run.stage(stage))
    with open_tracking(run.cluster, NAMESPACE) as tracking:
        runs = {(r.tags.get("mimo.stage"), r.tags.get("mimo.attempt")): r for r in tracking.runs(run.run_id)}
        experiment = run.pipeline()["status"]["mlflow"].split("/experiments/")[1].split("/")[0]
        for attempt, status, told in (("1", wanted.mlflow_status, words), ("2", "FINISHED", Words("", ""))):
            tracked = runs[stage, attempt]
            assert (tracked.status, told_by_mlflow(tracked)) == (status, told)
            page = browser.open(f"{tracking.url}/#/experiments/{experiment}/runs/{tracked.run_id}")
            page.wait_for_text(f"{stage}-{attempt}")
            page.wait_for_text(status.capitalize())
            if told.message:
                page.wait_for_text(told.message.splitlines()[0])
            take_picture(page, f"cluster-mlflow-{stage}-{attempt}")


@pytest.fixture(scope="module")
def report(run: FaultRun, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The page, and what the command says."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    command = ("-m", "jobs.cli", "report", "--pipeline", PIPELINE, "-n", NAMESPACE, "--to", str(path))
    return path, json.loads(run.cluster.run(sys.executable, *command, "--output", "json"))


@HURT
def test_the_report_shows_every_attempt_of_a_stage_that_was_hurt(
    run: FaultRun, report: tuple[Path, dict[str, Any]], browser: Browser, stage: str
) -> None:
    skip_unless_hurt(run, stage)
    wanted, words = WANTED[stage], controllers_words(run.stage(stage))
    first, second = next(s["attempts"] for s in report[1]["stages"] if s["name"] == stage)
    assert (first["state"], told_by_report(first)) == (wanted.state, words)
    assert (second["state"], told_by_report(second)) == ("Succeeded", Words("", ""))
    rows = report_rows(browser.open(report[0].as_uri()))
    assert rows[stage, "1"].startswith(wanted.state)
    assert f"{words.reason}: {words.message.splitlines()[0]}" in rows[stage, "1"]
    assert rows[stage, "2"].startswith("Succeeded")


def test_the_report_shows_every_stage(run: FaultRun, report: tuple[Path, dict[str, Any]], browser: Browser) -> None:
    page = browser.open(report[0].as_uri())
    text = page.text()
    assert [s["name"] for s in run.pipeline()["status"]["stages"] if s["name"] not in text] == []
    assert page.errors == []
    assert [url for url in page.requests if not url.startswith(("file:", "data:"))] == []
    take_picture(page, "cluster-report")


@HURT
def test_the_table_of_attempts_that_finalize_left_says_the_same(run: FaultRun, stage: str) -> None:
    skip_unless_hurt(run, stage)
    last = attempt_prefix(run.run_id, "finalize", run.stage("finalize")["attempt"])
    with open_release_store(run.cluster, NAMESPACE) as store:
        table = json.loads(store.get_bytes(f"{last}/journal/files/pipeline/stages.json")[0])
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    first, second = [row for row in rows if row["stage"] == stage]
    assert (first["state"], told_by_report(first)) == (WANTED[stage].state, controllers_words(run.stage(stage)))
    assert (second["state"], told_by_report(second)) == ("Succeeded", Words("", ""))


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
            wait_until(lambda: LOST in draw(), 90.0, lambda: draw()[:2000])
        finally:
            stop(process)
    page = browser.open(path.as_uri())
    text = page.text()
    assert [s["name"] for s in run.pipeline()["status"]["stages"] if s["name"] not in text] == []
    assert page.errors == []
    panels = by_panel(text)
    for stage in (s for s in WANTED if run.cluster.is_development or s != CRASHED):
        words = controllers_words(run.stage(stage))
        assert shows_attempt(panels, stage, 2), panels["Attempts"]
        assert shows_state(panels, stage, "Succeeded"), panels["State of each stage"]
        assert shows_failure(panels, stage, words.reason, words.message), panels["Why attempts failed"]
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
