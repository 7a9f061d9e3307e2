"""The windows while the second attempt of a stage runs: the first one has ended, and why; the second goes on."""

from __future__ import annotations

import pytest

from tests.e2e.with_faults.drive import CRASHED, LOST, PIPELINE, FaultRun
from tests.e2e.with_faults.looks import (
    Look,
    Words,
    controllers_words,
    shown,
    told_by_mlflow,
    told_by_operator,
    told_by_report,
)
from tests.e2e.with_faults.wanted import WANTED, skip_unless_hurt

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

HURT = (LOST, CRASHED)


def _look(watched: FaultRun, stage: str) -> Look:
    skip_unless_hurt(watched, stage)
    return watched.looks[stage]


def _as_line(words: Words) -> str:
    return f"attempt 1: {words.reason}: {words.message.splitlines()[0]}"


@pytest.mark.parametrize("stage", HURT)
def test_the_status_says_why_the_first_attempt_ended(watched: FaultRun, stage: str) -> None:
    look = _look(watched, stage)
    assert (look.stage["state"], look.stage["attempt"]) == ("Running", 2)
    WANTED[stage].check(controllers_words(look.stage))


@pytest.mark.parametrize("stage", HURT)
def test_the_terminal_shows_both_attempts(watched: FaultRun, stage: str) -> None:
    look = _look(watched, stage)
    row = _row(look.table, stage)
    assert row[1:3] == ["Running", "2"]
    assert _unwrapped(_as_line(controllers_words(look.stage))) in _unwrapped(row[-1])


def _row(table: str, stage: str) -> list[str]:
    """Its cells, from all lines over which they are wrapped."""
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in table.splitlines() if line.startswith("│")]
    first = next(i for i, cells in enumerate(rows) if cells[0] == stage)
    following = next((i for i in range(first + 1, len(rows)) if rows[i][0]), len(rows))
    return ["".join(parts) for parts in zip(*rows[first:following], strict=True)]


def _unwrapped(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize("stage", HURT)
def test_kubectl_get_shows_both_attempts(watched: FaultRun, stage: str) -> None:
    look = _look(watched, stage)
    name, phase, current, _, attempt = look.kubectl.split()[:5]
    assert (name, phase, current, attempt) == (PIPELINE, "Running", stage, "2")
    assert _as_line(controllers_words(look.stage)) in look.kubectl


@pytest.mark.parametrize("stage", HURT)
def test_the_report_shows_both_attempts(watched: FaultRun, stage: str) -> None:
    look = _look(watched, stage)
    first, second = look.attempts
    assert (first["state"], told_by_report(first)) == (WANTED[stage].state, controllers_words(look.stage))
    assert (second["state"], second["reason"]) == ("Running", "")


@pytest.mark.parametrize("stage", HURT)
def test_mlflow_shows_both_attempts(watched: FaultRun, stage: str) -> None:
    look = _look(watched, stage)
    first, second = look.tracked["1"], look.tracked["2"]
    assert (first.status, told_by_mlflow(first)) == (WANTED[stage].mlflow_status, controllers_words(look.stage))
    assert (second.status, told_by_mlflow(second)) == ("RUNNING", Words("", ""))


@pytest.mark.parametrize("stage", HURT)
def test_the_metrics_of_the_dashboards_say_why_the_first_attempt_ended(watched: FaultRun, stage: str) -> None:
    look = _look(watched, stage)
    assert told_by_operator(look.metrics, stage) == shown(controllers_words(look.stage))


@pytest.mark.parametrize("stage", HURT)
def test_the_log_of_the_first_attempt_can_be_read(watched: FaultRun, stage: str) -> None:
    assert "step=" in _look(watched, stage).log


def test_a_crash_counts_and_a_lost_pod_does_not(watched: FaultRun) -> None:
    failures = {stage: watched.stage(stage)["failures"] for stage in watched.looks}
    assert failures.get(LOST) == 0
    assert failures.get(CRASHED, 1) == 1
