"""The windows while the second attempt of a stage runs: the first one has ended, and why; the second goes on."""

from __future__ import annotations

import pytest

from tests.e2e.with_faults.drive import CRASHED, LOST, FaultRun
from tests.e2e.with_faults.looks import Look

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

HURT = (LOST, CRASHED)


def _look(watched: FaultRun, stage: str) -> Look:
    if stage not in watched.looks:
        pytest.skip(f"nobody could look at {stage}: only the development cluster's processes can be killed from here")
    return watched.looks[stage]


@pytest.mark.parametrize("stage", HURT)
def test_the_terminal_shows_both_attempts(watched: FaultRun, stage: str) -> None:
    look = _look(watched, stage)
    assert (look.stage["state"], look.stage["attempt"]) == ("Running", 2)
    assert look.stage["lastFailure"]["attempt"] == 1
    assert look.stage["lastFailure"]["reason"]
    row = next(line for line in look.table.splitlines() if stage in line)
    assert "Running" in row
    assert " 2 " in row


@pytest.mark.parametrize("stage", HURT)
def test_the_report_shows_both_attempts(watched: FaultRun, stage: str) -> None:
    first, second = _look(watched, stage).attempts
    assert first["state"] in ("Failed", "Lost", "Interrupted")
    assert first["message"]
    assert second["state"] == "Running"


@pytest.mark.parametrize("stage", HURT)
def test_mlflow_shows_both_attempts(watched: FaultRun, stage: str) -> None:
    tracked = _look(watched, stage).tracked
    assert tracked["1"].status in ("FAILED", "KILLED")
    assert tracked["1"].tags["mimo.reason"]
    assert tracked["2"].status == "RUNNING"


@pytest.mark.parametrize("stage", HURT)
def test_the_log_of_the_first_attempt_can_be_read(watched: FaultRun, stage: str) -> None:
    assert "step=" in _look(watched, stage).log


def test_a_crash_counts_and_a_lost_pod_does_not(watched: FaultRun) -> None:
    failures = {stage: watched.stage(stage)["failures"] for stage in watched.looks}
    assert failures.get(LOST) == 0
    assert failures.get(CRASHED, 1) == 1
