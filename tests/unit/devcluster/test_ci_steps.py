"""CI counts what ran: a step that tested nothing, that failed or that took too long is a failure."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def _run(tmp_path: Path, *lines: str, budget_s: int = 600) -> tuple[str, str]:
    """What the steps print, and "PASSED FAILED CODE" after the last of them."""
    script = (f"logs={tmp_path} BUDGET_S={budget_s}", ". .ci/steps.sh", *lines, 'echo "$passed $failed $?"')
    done = subprocess.run(
        ["bash", "-uo", "pipefail", "-c", "\n".join(script)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    *shown, counts = done.stdout.splitlines()
    return "\n".join(shown), counts


@pytest.mark.parametrize(
    ("output", "code", "counts"),
    [
        ("3 passed in 1s", 0, "3 0"),
        ("2 failed, 3 passed, 1 error in 1s", 1, "3 3"),
        # A cluster that died: every test skips, and pytest is content.
        ("7 skipped in 1s", 0, "0 1"),
        ("no tests ran in 1s", 0, "0 1"),
        # It ended before its summary.
        ("3 passed in 1s", 137, "3 1"),
        ("collected nothing", 5, "0 1"),
    ],
)
def test_a_step_of_tests_counts_them_and_fails_without_any(tmp_path: Path, output: str, code: int, counts: str) -> None:
    _, found = _run(tmp_path, f"tests e2e 1 bash -c 'echo {output}; exit {code}'")
    assert found.rsplit(" ", 1)[0] == counts


def test_a_step_in_which_all_was_skipped_says_so_and_returns_a_failure(tmp_path: Path) -> None:
    shown, counts = _run(tmp_path, "tests e2e 1 echo 4 skipped || true", "tests other 1 echo 4 skipped && echo never")
    assert "== e2e: not one test passed" in shown
    assert "never" not in shown
    assert counts.startswith("0 2")


def test_counts_add_up_over_steps_and_a_plain_step_is_one(tmp_path: Path) -> None:
    _, counts = _run(tmp_path, "tests a 1 echo 5 passed", "one b 1 true", "one c 1 false || true")
    assert counts.startswith("6 1")


def test_a_step_above_its_limit_is_stopped_and_fails(tmp_path: Path) -> None:
    # The limit is in minutes; what is left of all steps is the shorter one.
    shown, counts = _run(tmp_path, "one slow 1 sleep 30 || true", budget_s=1)
    assert "== slow: stopped at its limit of 1 s" in shown
    assert counts.startswith("0 1")


def test_no_step_starts_when_all_time_is_spent(tmp_path: Path) -> None:
    shown, counts = _run(tmp_path, "one late 1 echo it ran || true", budget_s=0)
    assert "== late: not started" in shown
    assert "it ran" not in shown
    assert counts.startswith("0 1")


def test_every_step_of_ci_that_is_a_script_of_ours_is_there() -> None:
    text = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for name in ("packages", "second_start", "steps.sh"):
        assert f".ci/{name}" in text
        assert (ROOT / ".ci" / name).is_file()


@pytest.mark.parametrize(("took_s", "is_fast_enough"), [(0, True), (3, False)])
def test_a_second_start_is_timed_without_the_stop_before_it(tmp_path: Path, took_s: int, is_fast_enough: bool) -> None:
    """With a `make` that only takes its time, and a limit of 1 s in place of 60."""
    fake = tmp_path / "make"
    fake.write_text(f"#!/bin/sh\ncase $* in *cluster-down*) sleep 2 ;; *cluster) sleep {took_s} ;; esac\n")
    fake.chmod(0o755)
    script = (ROOT / ".ci" / "second_start").read_text(encoding="utf-8")
    assert "readonly LIMIT_S=60\n" in script
    (tmp_path / "second_start").write_text(script.replace("LIMIT_S=60", "LIMIT_S=1"))
    command = ["bash", str(tmp_path / "second_start")]
    done = subprocess.run(command, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True)
    assert (done.returncode == 0) == is_fast_enough
    assert "at most 1 s are allowed" in done.stdout
