"""One stage is killed, one crashes, each goes on in a second attempt: every window tells so, while it runs and after.

The run takes base and curate from that of `make demo-ci`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from jobs.cli_dashboards import page as dashboards_page
from jobs.cli_target import open_target
from jobs.kfp_local import DEFAULT_KFP_PYTHON
from jobs.kfp_settings import local_step_environment
from mimo_vl.free_port import free_port
from mimo_vl.observability.dashboards.pipeline import OVERVIEW
from mimo_vl.vocabulary import StageName
from operators.mimo_pipeline.kubeflow.package import PACKAGES
from operators.mimo_pipeline.local.state import RunFolder
from tests.browser import Browser, Page, open_browser
from tests.integration.observability.exporters import start_prometheus, stop, wait_until
from tests.tour.looking import ROOT, copy_run, take_picture

pytestmark = [pytest.mark.tour, pytest.mark.timeout(600)]

KILLED, CRASHED = "projector-warmup", "vision-language-alignment"
STAGES = ("base", "curate", KILLED, CRASHED, "finalize")
_LAST = "jobs.finalize"
# Two attempts of each in half a minute; other numbers of steps than in demo-ci, so that neither is reused.
OVERRIDES = ("@demo-ci", f"stages.{KILLED}.num_steps=16", f"stages.{CRASHED}.num_steps=12")
_DEADLINE_S = 240.0
_STEPS_LOG = "kfp.log"
HAS_KFP = DEFAULT_KFP_PYTHON.is_file()
needs_kfp = pytest.mark.skipif(not HAS_KFP, reason="no environment of kfp: make setup-kfp")


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
    dashboards: dict[str, list[str]]
    """Lines of each panel, by its title."""
    kubeflow: str
    """The log of the steps that follow the stages; empty without an environment of kfp."""

    def stage(self, name: str) -> dict[str, Any]:
        return next(s for s in self.status["status"]["stages"] if s["name"] == name)


@dataclass
class Faulty:
    folder: Path
    during: dict[str, Windows] = field(default_factory=dict)
    """By the stage whose second attempt ran."""
    after: Windows | None = None
    kubeflow_exit_code: int | None = None


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as found:
        yield found


@pytest.fixture(scope="module")
def faulty(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faulty]:
    made = Path(os.environ.get("MIMO_TOUR_RUN", ROOT / "runs/demo-ci"))
    assert RunFolder(made).load_or_none() is not None, f"no run in {made}; make one with: make demo-ci"
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("no prometheus: apt-get install prometheus")
    folder = copy_run(made, tmp_path_factory.mktemp("faulty"))
    own, controller = (first := free_port(2)), first + 1
    run = Faulty(folder)
    with ExitStack() as stack:
        server = start_prometheus(program, folder / "prometheus", own, [f"127.0.0.1:{controller}"])
        stack.callback(stop, server)
        process = _start(folder, controller)
        stack.callback(_end, process)
        look = Look(folder, f"http://127.0.0.1:{own}", browser)
        steps: subprocess.Popen[bytes] | None = None
        for stage, fault in ((KILLED, _kill_attempt), (CRASHED, _crash_rank)):
            _wait_for(look, process, stage, attempt=1)
            fault(process)
            _wait_for(look, process, stage, attempt=2)
            steps = steps or _follow_in_kubeflow(folder, stack)
            with _held(process):
                look.wait_until_told(stage, "Running")
                run.during[stage] = look.around()
        # The controller, whose metrics the dashboards show, goes with the run.
        wait_until(lambda: bool(_processes(process, _LAST)), _DEADLINE_S, lambda: _log(folder))
        with _held(process, _LAST):
            look.wait_until_told(CRASHED, "Succeeded")
            dashboards = look.dashboards()
        assert process.wait(timeout=_DEADLINE_S) == 0, _log(folder)
        if steps is not None:
            run.kubeflow_exit_code = steps.wait(timeout=_DEADLINE_S)
        run.after = replace(look.around(), dashboards=dashboards)
        yield run


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
            mlflow=self._mlflow([f"{s}-{n + 1}" for s in (KILLED, CRASHED) for n in range(len(attempts.get(s, [])))]),
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
        path = self.folder / _STEPS_LOG
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def dashboards(self) -> dict[str, list[str]]:
        path = self.folder / "dashboards.html"
        chosen = {"namespace": ".*", "pipeline": ".*"}
        path.write_text(dashboards_page(self.prometheus, minutes=10, chosen=chosen), encoding="utf-8")
        page = self.browser.open(path.as_uri())
        assert page.errors == []
        take_picture(page, "failures-dashboards")
        return by_panel(page.text())

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
        ended = subprocess.run(command, cwd=ROOT, env=_environ(), capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout


def report_rows(page: Page) -> dict[tuple[str, str], str]:
    """Text of the rows of the table of attempts, by stage and number."""
    rows = "[...document.querySelector('#stages table').rows].map(r => [...r.cells].map(c => c.innerText))"
    return {(cells[0], cells[1]): " | ".join(cells[2:]) for cells in page.evaluate(rows)}


def by_panel(text: str) -> dict[str, list[str]]:
    """The lines below each title of a panel of the overview."""
    panels, found, title = {panel.title for panel in OVERVIEW.panels}, {}, ""
    for line in text.splitlines():
        if line in panels and line not in found:
            title = line
            found[title] = []
        elif title and line.strip():
            found[title].append(line)
    return found


def shows_attempt(dashboards: dict[str, list[str]], stage: str, attempt: int) -> bool:
    """The bar of the stage in the panel of the latest attempts."""
    return re.search(rf"/\S+ {stage}\s+{attempt}$", "\n".join(dashboards["Attempts"]), re.M) is not None


def shows_state(dashboards: dict[str, list[str]], stage: str, state: str) -> bool:
    """Its one row of the table."""
    rows = [line.split("\t") for line in dashboards["State of each stage"] if stage in line.split("\t")]
    return len(rows) == 1 and state in rows[0]


def shows_failure(dashboards: dict[str, list[str]], stage: str, reason: str, message: str) -> bool:
    """Of the first attempt."""
    rows = [line.split("\t") for line in dashboards["Why attempts failed"] if stage in line.split("\t")]
    return len(rows) == 1 and rows[0][0] == "1" and reason in rows[0] and message in rows[0][1]


def _runs(address: str, names: list[str]) -> dict[str, Any]:
    """By the server's own answer: the newest run of each name."""
    from mimo_vl.tracking.rest import MlflowRest

    rest = MlflowRest(address.split("/#/")[0], timeout_s=20.0)
    experiment = address.split("/experiments/")[1].split("/")[0]
    body = {"experiment_ids": [experiment], "order_by": ["attributes.start_time ASC"]}
    found = {r["info"]["run_name"]: r for r in rest.post("runs/search", body)["runs"]}
    return {name: found[name] for name in names}


def _environ() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | {"COLUMNS": "250"}


def _start(folder: Path, port: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "jobs.cli", "run", "--run-dir", str(folder), "--stages", ",".join(STAGES)]
    for override in (*OVERRIDES, f"observability.metrics_port={port}"):
        command += ["--override", override]
    with (folder / "run.log").open("wb") as log:
        return subprocess.Popen(command, cwd=ROOT, env=_environ(), stdout=log, stderr=subprocess.STDOUT)


def _follow_in_kubeflow(folder: Path, stack: ExitStack) -> subprocess.Popen[bytes] | None:
    """The steps of a run that somebody else's pipeline is shown by, while it runs."""
    if not HAS_KFP:
        return None
    parameters = {
        "follow": True,
        "name": RunFolder(folder).load().metadata.name,
        "stages": list(STAGES),
        "run_dir": str(folder),
        "kfp_endpoint": "",
    }
    package, outputs = str(PACKAGES / "tiny.yaml"), str(folder / "kfp")
    command = [str(DEFAULT_KFP_PYTHON), "-m", "jobs.kfp_local", "--execute", package, json.dumps(parameters), outputs]
    with (folder / _STEPS_LOG).open("wb") as log:
        steps = subprocess.Popen(
            command, cwd=ROOT, env=local_step_environment(ROOT), stdout=log, stderr=subprocess.STDOUT
        )
    stack.callback(_end, steps)
    return steps


def _end(process: subprocess.Popen[bytes]) -> None:
    """As Ctrl-C does: it ends what it has started."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)


def _wait_for(look: Look, process: subprocess.Popen[bytes], stage: str, *, attempt: int) -> None:
    """Until that attempt trains."""

    def is_there() -> bool:
        assert process.poll() is None, _log(look.folder)
        found = RunFolder(look.folder).load_or_none()
        stages = found.status.stages if found else ()
        now = next((s for s in stages if s.name == stage), None)
        is_running = now is not None and (now.attempt, now.state) == (attempt, "Running")
        return is_running and now.progress is not None and now.progress.step >= 1

    wait_until(is_there, _DEADLINE_S, lambda: _log(look.folder))


def _processes(run: subprocess.Popen[bytes], module: str) -> list[psutil.Process]:
    found = []
    for process in psutil.Process(run.pid).children(recursive=True):
        try:
            if module in process.cmdline():
                found.append(process)
        except psutil.Error:
            continue
    return found


@contextmanager
def _held(run: subprocess.Popen[bytes], module: str = "jobs.train") -> Iterator[None]:
    """Its ranks make no step meanwhile: people look more slowly than the stage works."""
    ranks = _processes(run, module)
    for rank in ranks:
        rank.suspend()
    try:
        yield
    finally:
        for rank in ranks:
            rank.resume()


def _kill_attempt(run: subprocess.Popen[bytes]) -> None:
    """Launcher and ranks at once, as a machine that is lost: nobody can say why."""
    for process in [*_processes(run, "jobs.launch"), *_processes(run, "jobs.train")]:
        process.kill()


def _crash_rank(run: subprocess.Popen[bytes]) -> None:
    """The second, as an assertion in a library does it. The first then fails for the lost connection alone."""
    [second] = [p for p in _processes(run, "jobs.train") if p.environ().get("RANK") == "1"]
    second.send_signal(signal.SIGABRT)


def _log(folder: Path) -> str:
    return (folder / "run.log").read_text(encoding="utf-8", errors="replace")[-4000:]


def _states(windows: Windows, stage: str) -> list[str]:
    return [a["state"] for a in windows.attempts[stage]]


def _told_by_status(windows: Windows, stage: str) -> str:
    """Why the first attempt failed: in the object that a cluster has too, and in the row of the second attempt."""
    failure = windows.stage(stage)["lastFailure"]
    assert failure["attempt"] == 1
    row = next(line for line in windows.table.splitlines() if f" {stage} " in line)
    assert f"attempt 1: {failure['reason']}" in row
    return failure["message"]


@pytest.mark.parametrize("stage", [KILLED, CRASHED])
def test_while_the_second_attempt_runs(faulty: Faulty, stage: str) -> None:
    shown = faulty.during[stage]
    assert shown.status["status"]["phase"] == "Running"
    assert (shown.stage(stage)["state"], shown.stage(stage)["attempt"]) == ("Running", 2)
    row = next(line for line in shown.table.splitlines() if stage in line)
    assert "Running" in row
    assert " 2 " in row
    first, second = _states(shown, stage)
    assert (first in ("Failed", "Lost"), second) == (True, "Running")
    assert shown.report[stage, "2"].startswith("Running")
    assert shows_attempt(shown.dashboards, stage, 2)
    assert shows_state(shown.dashboards, stage, "Running")
    assert [shown.mlflow[f"{stage}-{attempt}"].status for attempt in (1, 2)] == ["KILLED", "RUNNING"]


@pytest.mark.parametrize("stage", [KILLED, CRASHED])
def test_in_the_end(faulty: Faulty, stage: str) -> None:
    shown = faulty.after
    assert shown is not None
    assert shown.status["status"]["phase"] == "Succeeded"
    assert (shown.stage(stage)["state"], shown.stage(stage)["attempt"]) == ("Succeeded", 2)
    first, second = _states(shown, stage)
    assert (first in ("Failed", "Lost"), second) == (True, "Succeeded")
    assert shown.report[stage, "2"].startswith("Succeeded")
    assert shows_attempt(shown.dashboards, stage, 2)
    assert shows_state(shown.dashboards, stage, "Succeeded")
    assert [shown.mlflow[f"{stage}-{attempt}"].status for attempt in (1, 2)] == ["KILLED", "FINISHED"]
    assert "Finished" in shown.mlflow[f"{stage}-2"].page
    assert shown.mlflow[f"{stage}-2"].reason == ""


def test_the_killed_attempt_is_told_as_killed(faulty: Faulty) -> None:
    assert faulty.after is not None
    for shown in (*faulty.during.values(), faulty.after):
        assert "was killed" in shown.attempts[KILLED][0]["message"]
        assert "was killed" in shown.report[KILLED, "1"]
        assert "killed by SIGKILL" in _told_by_status(shown, KILLED)
        tracked = shown.mlflow[f"{KILLED}-1"]
        # Nobody was left who could say more.
        assert (tracked.reason, tracked.message) == ("Killed", "the process and its launcher ended without a word")
        assert tracked.message in tracked.page


def test_the_crashed_attempt_is_told_with_its_signal(faulty: Faulty) -> None:
    assert faulty.after is not None
    for shown in (faulty.during[CRASHED], faulty.after):
        assert "SIGABRT" in shown.attempts[CRASHED][0]["message"]
        assert "SIGABRT" in shown.report[CRASHED, "1"]
        assert "SIGABRT" in _told_by_status(shown, CRASHED)
        tracked = shown.mlflow[f"{CRASHED}-1"]
        assert (tracked.reason, tracked.message) == ("Killed", "rank 1 was ended by SIGABRT")
        assert tracked.message in tracked.page


# What each window says of the first attempt: its reason, and a part of its message.
_TOLD = {KILLED: ("Killed", "killed by SIGKILL"), CRASHED: ("Killed", "SIGABRT")}


@pytest.mark.parametrize("stage", [KILLED, CRASHED])
def test_the_dashboards_tell_why_the_first_attempt_failed_also_after_the_second_one(faulty: Faulty, stage: str) -> None:
    assert faulty.after is not None
    for shown in (faulty.during[stage], faulty.after):
        assert shows_failure(shown.dashboards, stage, *_TOLD[stage]), shown.dashboards["Why attempts failed"]


@needs_kfp
@pytest.mark.parametrize("stage", [KILLED, CRASHED])
def test_the_log_of_a_step_tells_why_the_first_attempt_failed(faulty: Faulty, stage: str) -> None:
    reason, message = _TOLD[stage]
    line = rf"{stage}: {{}}, attempt 2\b.*; attempt 1: {reason}: .*{message}"
    during = faulty.during[stage].kubeflow
    assert re.search(line.format("Running"), during), during
    assert f"{stage}: Succeeded" not in during
    assert faulty.after is not None
    assert re.search(line.format("Succeeded"), faulty.after.kubeflow), faulty.after.kubeflow


@needs_kfp
def test_a_step_of_kubeflow_names_the_attempt_that_succeeded(faulty: Faulty) -> None:
    assert faulty.kubeflow_exit_code == 0
    pipeline = RunFolder(faulty.folder).load()
    outputs = [json.loads(path.read_text()) for path in (faulty.folder / "kfp").rglob("executor_output.json")]
    told = [json.dumps(found) for found in outputs]
    for stage in (KILLED, CRASHED):
        digest = pipeline.status.stage(StageName(stage)).digest
        [of_stage] = [text for text in told if digest in text and f'"stage": "{stage}"' in text]
        assert '"attempt": 2' in of_stage
