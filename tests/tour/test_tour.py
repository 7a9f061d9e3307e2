"""A look through every window at one run of `make demo-ci`: each must show the run's facts. `make tour` runs it.

Screenshots go to runs/tour/.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jobs.cli_dashboards import page as dashboards_page
from jobs.cli_run import RunRequest, run_pipeline
from jobs.kfp_local import DEFAULT_KFP_PYTHON, run_on_this_machine
from mimo_vl.free_port import free_port
from mimo_vl.vocabulary import StageName
from operators.mimo_pipeline.local.state import RunFolder
from tests.browser import Browser
from tests.integration.observability.exporters import start_prometheus, stop, wait_until
from tests.tour.conftest import Run
from tests.tour.looking import ROOT, copy_run, take_picture

pytestmark = [pytest.mark.tour, pytest.mark.timeout(600)]

_OVERRIDES = ("@demo-ci",)
_PHONE_WIDTH = 390
# What is promised to whoever runs it again.
_AGAIN_S = 30.0


def test_a_second_run_reuses_every_stage_in_seconds(run: Run, tmp_path: Path) -> None:
    copy = copy_run(run.folder.path, tmp_path)
    command = [sys.executable, "-m", "jobs.cli", "run", "--profile", "tiny", "--run-dir", str(copy)]
    command += [word for override in _OVERRIDES for word in ("--override", override)]
    start_s = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=_AGAIN_S, check=False)
    took_s = time.monotonic() - start_s
    assert done.returncode == 0, done.stdout + done.stderr
    assert took_s < _AGAIN_S
    stages = RunFolder(copy).load().status.stages
    assert {s.name for s in stages} == set(StageName)
    assert [s.name for s in stages if not s.reused] == []
    assert done.stdout.count("│ reused │") == len(stages)
    assert {s.name: s.digest for s in stages} == {s.name: s.digest for s in run.status.stages}


def test_mlflow_shows_the_pipelines_run_and_its_attempts(run: Run, mlflow: str, browser: Browser) -> None:
    page = browser.open(mlflow)
    page.wait_for_text("Finished")
    take_picture(page, "mlflow-run")
    experiment, run_id = mlflow.split("/runs/")
    page.goto("about:blank")
    page.goto(f"{experiment}/runs")
    page.wait_for_text(run.tracked_id)
    # The attempts are folded below the pipeline.
    page.click(f'[row-id="{run_id}"] button[data-component-id*="runnamecellrenderer"]')
    for stage in ("long-context-sft", "morl"):
        page.wait_for_text(run.attempt(stage))
    take_picture(page, "mlflow-experiment")


def test_mlflow_shows_the_report_among_the_artifacts(run: Run, mlflow: str, browser: Browser) -> None:
    page = browser.open(f"{mlflow}/artifacts/report.html")
    # Shown in a frame of its own, into which this page may not look.
    page.wait_for("document.querySelectorAll('iframe').length === 1")
    take_picture(page, "mlflow-artifacts")


def test_mlflow_shows_the_registered_models(run: Run, mlflow: str, browser: Browser) -> None:
    page = browser.open(f"{mlflow.split('/#/')[0]}/#/models/mimo-vl-tiny")
    for alias in ("sft", "rl", "reward-text", "reward-multimodal"):
        page.wait_for_text(alias)
    take_picture(page, "mlflow-models")


def test_the_report_shows_every_stage_and_asks_nobody(run: Run, browser: Browser) -> None:
    page = browser.open((run.folder.path / "report.html").as_uri())
    text = page.text()
    assert [s.name for s in run.status.stages if s.name not in text] == []
    assert run.digest("morl").removeprefix("sha256:")[:8] in page.evaluate("document.documentElement.outerHTML")
    assert [url for url in page.requests if not url.startswith(("file:", "data:"))] == []
    assert page.errors == []
    take_picture(page, "report")
    page.resize(_PHONE_WIDTH, 844, is_phone=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= _PHONE_WIDTH
    page.prefer_dark()
    take_picture(page, "report-phone-dark")


@pytest.mark.skipif(not shutil.which("prometheus"), reason="no prometheus: apt-get install prometheus")
def test_the_dashboards_show_the_run(run: Run, browser: Browser, tmp_path: Path) -> None:
    """The controller goes over the finished run once more and shows Prometheus what its stages left."""
    own, controller = (first := free_port(16)), first + 1
    copy = copy_run(run.folder.path, tmp_path)
    request = RunRequest(
        profile="tiny", run_dir=copy, overrides=(*_OVERRIDES, f"observability.metrics_port={controller}")
    )
    assert run_pipeline(request) == 0
    program = shutil.which("prometheus")
    assert program is not None
    process = start_prometheus(program, tmp_path / "prometheus", own, [f"127.0.0.1:{controller}"])
    address = f"http://127.0.0.1:{own}"
    chosen = {"namespace": ".*", "pipeline": ".*"}
    path = tmp_path / "dashboards.html"

    def is_scraped() -> bool:
        try:
            path.write_text(dashboards_page(address, minutes=5, chosen=chosen), encoding="utf-8")
        except Exception as error:  # noqa: BLE001 - it is starting; the deadline shows the last error
            path.write_text(str(error), encoding="utf-8")
        return "long-context-sft" in path.read_text(encoding="utf-8")

    try:
        wait_until(is_scraped, 90.0, lambda: path.read_text(encoding="utf-8")[:2000])
    finally:
        stop(process)
    page = browser.open(path.as_uri())
    text = page.text()
    assert [s.name for s in run.status.stages if s.name not in text] == []
    assert page.errors == []
    take_picture(page, "dashboards")


@pytest.mark.skipif(not DEFAULT_KFP_PYTHON.is_file(), reason="no environment of kfp: make setup-kfp")
def test_the_package_for_kubeflow_follows_the_run_step_by_step(run: Run, browser: Browser, tmp_path: Path) -> None:
    copy = copy_run(run.folder.path, tmp_path)
    request = RunRequest(profile="tiny", run_dir=copy, overrides=_OVERRIDES)
    name = run.folder.load().metadata.name
    assert run_on_this_machine(request, parameters={"follow": True, "name": name}) == 0
    outputs = {path: json.loads(path.read_text()) for path in (copy / "kfp").rglob("executor_output.json")}
    told = {path: json.dumps(found) for path, found in outputs.items()}
    for stage in ("long-context-sft", "morl"):
        assert any(run.digest(stage) in text for text in told.values()), f"no step hands out the artifact of {stage}"
    path = next(p for p, text in told.items() if run.digest("morl") in text)
    page = browser.open(path.as_uri())
    page.wait_for_text(run.digest("morl"))
    take_picture(page, "kubeflow-step")
