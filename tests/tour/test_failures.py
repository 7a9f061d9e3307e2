"""One stage is killed, one fails, each goes on in a second attempt: every window tells so, while it runs and after.

What the controller says of an attempt that ended is what all of them say.

The run takes base and curate from that of `make demo-ci`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from mimo_vl.free_port import free_port
from mimo_vl.vocabulary import StageName
from operators.mimo_pipeline.local.state import RunFolder
from tests.browser import Browser, open_browser
from tests.integration.observability.exporters import start_prometheus, stop, wait_until
from tests.tour import faulty_run
from tests.tour.faulty_run import DEADLINE_S, FAILED, HAS_KFP, KILLED, LAST
from tests.tour.looking import ROOT, copy_run
from tests.tour.told_by_dashboards import shows_attempt, shows_failure, shows_state
from tests.tour.windows import Look, Windows

pytestmark = [pytest.mark.tour, pytest.mark.timeout(600)]

needs_kfp = pytest.mark.skipif(not HAS_KFP, reason="no environment of kfp: make setup-kfp")


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
        process = faulty_run.start(folder, controller)
        stack.callback(faulty_run.end, process)
        look = Look(folder, f"http://127.0.0.1:{own}", browser)
        steps: subprocess.Popen[bytes] | None = None
        for stage, fault in ((KILLED, faulty_run.kill_attempt), (FAILED, faulty_run.break_output)):
            faulty_run.wait_for(folder, process, stage, attempt=1)
            fault(look.folder, process, stage)
            faulty_run.wait_for(folder, process, stage, attempt=2)
            steps = steps or faulty_run.follow_in_kubeflow(folder, stack)
            with faulty_run.held(process):
                look.wait_until_told(stage, "Running")
                run.during[stage] = look.around()
        # The controller, whose metrics the dashboards show, goes with the run.
        wait_until(lambda: bool(faulty_run.processes(process, LAST)), DEADLINE_S, lambda: faulty_run.log(folder))
        with faulty_run.held(process, LAST):
            look.wait_until_told(FAILED, "Succeeded")
            dashboards = look.dashboards()
        assert process.wait(timeout=DEADLINE_S) == 0, faulty_run.log(folder)
        if steps is not None:
            run.kubeflow_exit_code = steps.wait(timeout=DEADLINE_S)
        run.after = replace(look.around(), dashboards=dashboards)
        yield run


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
