"""A look through every window at one run of `make demo-ci`: each must show the run's facts. `make tour` runs it.

Screenshots go to runs/tour/. MIMO_TOUR_RUN names another run folder.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from jobs.cli_dashboards import page as dashboards_page
from jobs.cli_run import RunRequest, run_pipeline
from jobs.cli_target import open_target
from jobs.kfp_local import DEFAULT_KFP_PYTHON, run_on_this_machine
from mimo_vl.free_port import free_port
from mimo_vl.storage.layout import run_of_output
from operators.mimo_pipeline.api import MimoPipelineStatus, StageState
from operators.mimo_pipeline.local.state import RunFolder
from tests.browser import Browser, open_browser
from tests.integration.observability.exporters import start_prometheus, stop, wait_until
from tests.registered_model import answer_by_mlflow, answer_by_transformers, asking
from tests.tour.looking import ROOT, copy_run, take_picture

pytestmark = [pytest.mark.tour, pytest.mark.timeout(600)]

_OVERRIDES = ("@demo-ci",)
_PHONE_WIDTH = 390


@dataclass
class Run:
    folder: RunFolder
    status: MimoPipelineStatus

    @property
    def tracked_id(self) -> str:
        """An earlier run where all outputs were reused: `make tour` goes over a finished run."""
        return run_of_output(self.status.stage("morl").output_uri)

    def attempt(self, stage: str) -> str:
        """Name of the attempt that made the output, as MLflow has it."""
        name, number = self.status.stage(stage).output_uri.rstrip("/").split("/attempt-")
        return f"{name.split('/')[-1]}-{number}"

    def digest(self, stage: str) -> str:
        return self.status.stage(stage).digest


@pytest.fixture(scope="module")
def run() -> Run:
    folder = RunFolder(Path(os.environ.get("MIMO_TOUR_RUN", ROOT / "runs/demo-ci")))
    pipeline = folder.load_or_none()
    assert pipeline is not None, f"no run in {folder.path}; make one with: make demo-ci"
    assert {s.state for s in pipeline.status.stages} == {StageState.SUCCEEDED}
    return Run(folder, pipeline.status)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as found:
        yield found


@pytest.fixture(scope="module")
def mlflow(run: Run) -> Iterator[str]:
    """Address of the run's page, as `mimo mlflow` shows it."""
    with ExitStack() as stack:
        target = open_target(run.folder.path, "", "", "", None)
        yield stack.enter_context(target.open_tracking(target.load()))


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


def test_the_registered_model_answers_by_its_alias_and_as_a_folder(
    run: Run, mlflow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    monkeypatch.setenv("MIMO_STORE", run.folder.store_path.as_uri())
    prompt = "How many circles are there?"
    with asking(mlflow.split("/#/")[0]):
        version = MlflowClient().get_model_version_by_alias("mimo-vl-tiny", "rl")
        answer = answer_by_mlflow("models:/mimo-vl-tiny@rl", prompt)
    assert version.tags["mimo.digest"] == run.digest("morl")
    assert answer.strip()
    folder = Path(unquote(urlsplit(version.tags["mimo.uri"]).path))
    assert answer_by_transformers(folder, prompt) == answer


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
