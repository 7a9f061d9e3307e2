"""One stage is killed, one fails, each goes on in a second attempt: every window tells so, while it runs and after.

What the controller says of an attempt that ended is what all of them say.

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
from mimo_vl.storage.layout import OUTPUT_DIR, attempt_prefix
from mimo_vl.vocabulary import StageName
from operators.mimo_pipeline.kubeflow.package import PACKAGES
from operators.mimo_pipeline.local.state import RunFolder
from tests.browser import Browser, Page, open_browser
from tests.integration.observability.exporters import start_prometheus, stop, wait_until
from tests.tour.looking import ROOT, copy_run, report_rows, take_picture
from tests.tour.told_by_dashboards import by_panel, shows_attempt, shows_failure, shows_state

pytestmark = [pytest.mark.tour, pytest.mark.timeout(600)]

KILLED, FAILED = "projector-warmup", "vision-language-alignment"
STAGES = ("base", "curate", KILLED, FAILED, "finalize")
_LAST = "jobs.finalize"
# Two attempts of each in half a minute; other numbers of steps than in demo-ci, so that neither is reused.
OVERRIDES = ("@demo-ci", f"stages.{KILLED}.num_steps=16", f"stages.{FAILED}.num_steps=12")
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
    stages_json: list[dict[str, Any]]
    """Rows of the table of attempts that `finalize` leaves in MLflow; empty before."""
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
        for stage, fault in ((KILLED, _kill_attempt), (FAILED, _break_output)):
            _wait_for(look, process, stage, attempt=1)
            fault(look.folder, process, stage)
            _wait_for(look, process, stage, attempt=2)
            steps = steps or _follow_in_kubeflow(folder, stack)
            with _held(process):
                look.wait_until_told(stage, "Running")
                run.during[stage] = look.around()
        # The controller, whose metrics the dashboards show, goes with the run.
        wait_until(lambda: bool(_processes(process, _LAST)), _DEADLINE_S, lambda: _log(folder))
        with _held(process, _LAST):
            look.wait_until_told(FAILED, "Succeeded")
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
        ended = subprocess.run(command, cwd=ROOT, env=_environ(), capture_output=True, text=True, check=False)
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


def _kill_attempt(folder: Path, run: subprocess.Popen[bytes], stage: str) -> None:
    """Launcher and ranks at once, as a machine that is lost: nobody can say why."""
    for process in [*_processes(run, "jobs.launch"), *_processes(run, "jobs.train")]:
        process.kill()


def _break_output(folder: Path, run: subprocess.Popen[bytes], stage: str) -> None:
    """Where the first attempt will write its model there is no folder any more: rank 0 fails, then rank 1 for that."""
    output = folder / "store" / attempt_prefix(RunFolder(folder).load().run_id, stage, 1) / OUTPUT_DIR
    shutil.rmtree(output)
    output.write_text("not a folder")


def _log(folder: Path) -> str:
    return (folder / "run.log").read_text(encoding="utf-8", errors="replace")[-4000:]


@dataclass(frozen=True)
class Wanted:
    """What all windows say of a stage's first attempt."""

    state: str
    mlflow_status: str
    reason: str
    message: str
    """A part of it."""
    exit_code: int


WANTED = {
    KILLED: Wanted("Killed", "KILLED", "Killed", "killed by SIGKILL", 137),
    FAILED: Wanted("Failed", "FAILED", "NotADirectoryError", "NotADirectoryError: [Errno 20]", 1),
}
_STAGES = pytest.mark.parametrize("stage", [KILLED, FAILED])


def _controllers_words(windows: Windows, stage: str) -> tuple[str, str]:
    """Reason and message of the first attempt, by the object that a cluster has too."""
    failure, wanted = windows.stage(stage)["lastFailure"], WANTED[stage]
    assert (failure["attempt"], failure["reason"], failure["exitCode"]) == (1, wanted.reason, wanted.exit_code)
    assert wanted.message in failure["message"]
    return failure["reason"], failure["message"]


def _check_attempts(shown: Windows, stage: str, state: str, status: str) -> None:
    """The first with its reason, the second in this state: status, terminal, report, MLflow and dashboards."""
    wanted, (reason, message) = WANTED[stage], _controllers_words(shown, stage)
    assert (shown.stage(stage)["state"], shown.stage(stage)["attempt"]) == (state, 2)
    row = next(line for line in shown.table.splitlines() if f" {stage} " in line)
    assert state in row
    assert " 2 " in row
    assert f"attempt 1: {reason}" in row
    first, second = shown.attempts[stage]
    assert (first["state"], first["reason"], first["message"]) == (wanted.state, reason, message)
    assert (second["state"], second["reason"]) == (state, "")
    assert shown.report[stage, "1"].startswith(wanted.state)
    assert f"{reason}: {message}" in shown.report[stage, "1"]
    assert shown.report[stage, "2"].startswith(state)
    tracked = shown.mlflow[f"{stage}-1"]
    assert (tracked.status, tracked.reason, tracked.message) == (wanted.mlflow_status, reason, message)
    assert message in tracked.page
    assert (shown.mlflow[f"{stage}-2"].status, shown.mlflow[f"{stage}-2"].reason) == (status, "")
    assert shows_attempt(shown.dashboards, stage, 2)
    assert shows_state(shown.dashboards, stage, state)
    assert shows_failure(shown.dashboards, stage, reason, message), shown.dashboards["Why attempts failed"]


@_STAGES
def test_while_the_second_attempt_runs(faulty: Faulty, stage: str) -> None:
    shown = faulty.during[stage]
    assert shown.status["status"]["phase"] == "Running"
    _check_attempts(shown, stage, "Running", "RUNNING")


def test_the_first_stage_is_told_with_its_fault_while_the_second_one_has_its_own(faulty: Faulty) -> None:
    shown = faulty.during[FAILED]
    _check_attempts(shown, KILLED, "Succeeded", "FINISHED")


@_STAGES
def test_in_the_end(faulty: Faulty, stage: str) -> None:
    shown = faulty.after
    assert shown is not None
    assert shown.status["status"]["phase"] == "Succeeded"
    _check_attempts(shown, stage, "Succeeded", "FINISHED")
    assert "Finished" in shown.mlflow[f"{stage}-2"].page


@_STAGES
def test_the_table_of_attempts_in_mlflow_says_the_same(faulty: Faulty, stage: str) -> None:
    assert faulty.after is not None
    first, second = [row for row in faulty.after.stages_json if row["stage"] == stage]
    told = (first["attempt"], first["state"], first["reason"], first["message"])
    assert told == (1, WANTED[stage].state, *_controllers_words(faulty.after, stage))
    assert first["tracking_run"]
    assert (second["attempt"], second["state"], second["reason"]) == (2, "Succeeded", "")


@needs_kfp
@_STAGES
def test_the_log_of_a_step_tells_why_the_first_attempt_failed(faulty: Faulty, stage: str) -> None:
    assert faulty.after is not None
    why = ": ".join(("attempt 1", *_controllers_words(faulty.after, stage)))
    line = rf"{stage}: {{}}, attempt 2\b.*; {re.escape(why).replace('{', '{{').replace('}', '}}')}"
    during = faulty.during[stage].kubeflow
    assert re.search(line.format("Running"), during), during
    assert f"{stage}: Succeeded" not in during
    assert re.search(line.format("Succeeded"), faulty.after.kubeflow), faulty.after.kubeflow


@needs_kfp
def test_a_step_of_kubeflow_names_the_attempt_that_succeeded(faulty: Faulty) -> None:
    assert faulty.kubeflow_exit_code == 0
    pipeline = RunFolder(faulty.folder).load()
    outputs = [json.loads(path.read_text()) for path in (faulty.folder / "kfp").rglob("executor_output.json")]
    told = [json.dumps(found) for found in outputs]
    for stage in (KILLED, FAILED):
        digest = pipeline.status.stage(StageName(stage)).digest
        [of_stage] = [text for text in told if digest in text and f'"stage": "{stage}"' in text]
        assert '"attempt": 2' in of_stage
