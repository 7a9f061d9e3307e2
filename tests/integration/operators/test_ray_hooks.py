"""The scripts by which Ray pods end, run by a real shell. Ending Ray itself needs a pod: tests/e2e."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from operators.mimo_pipeline.builders.ray_hooks import await_head_script, end_driver_script, head_hook, worker_hook

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

_DEADLINE_S = 20
# Saves for as long as the test holds its standard input open.
_DRIVER = """
import signal, sys
def save(*_):
    print("saving", flush=True)
    sys.stdin.read()
    sys.exit(75)
signal.signal(signal.SIGTERM, save)
print("running", flush=True)
while True:
    signal.pause()
"""
_ROW = "   1: 0A000002:9C40 0A000001:18EB {state} 00000000:00000000 00:00000000 00000000  1000 0 1\n"


def _shell(script: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["/bin/sh", "-c", script])


def _driver(word: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _DRIVER, word], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "running\n"
    return process


def test_the_head_asks_the_driver_to_save_and_waits_until_it_has(tmp_path: Path) -> None:
    driver = _driver("jobs.launch")
    assert driver.stdin is not None
    assert driver.stdout is not None
    (tmp_path / "driver.pid").write_text(f"{driver.pid}\n")
    hook = _shell(end_driver_script(str(tmp_path / "driver.pid")))
    try:
        assert driver.stdout.readline() == "saving\n"
        with pytest.raises(subprocess.TimeoutExpired):
            hook.wait(1.5)
        driver.stdin.close()
        assert driver.wait(_DEADLINE_S) == 75
        hook.wait(_DEADLINE_S)
    finally:
        driver.kill()
        hook.kill()
        driver.wait()
        hook.wait()


def test_without_a_driver_the_head_does_not_wait(tmp_path: Path) -> None:
    _shell(end_driver_script(str(tmp_path / "missing"))).wait(_DEADLINE_S)


def test_a_pid_that_belongs_to_another_process_by_now_is_left_alone(tmp_path: Path) -> None:
    other = _driver("something.else")
    (tmp_path / "driver.pid").write_text(str(other.pid))
    try:
        _shell(end_driver_script(str(tmp_path / "driver.pid"))).wait(_DEADLINE_S)
        assert other.poll() is None
    finally:
        other.kill()
        other.communicate()
    # SIGKILL is what ended it.
    assert other.returncode == -9


def test_a_worker_waits_while_it_is_connected_to_the_head(tmp_path: Path) -> None:
    table = tmp_path / "tcp"
    table.write_text(_ROW.format(state="01"))
    hook = _shell(await_head_script(str(table)))
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            hook.wait(1.5)
        # FIN_WAIT2: the head has gone.
        table.write_text(_ROW.format(state="05"))
        hook.wait(_DEADLINE_S)
    finally:
        hook.kill()
        hook.wait()


def test_the_heads_own_side_of_a_connection_is_not_waited_for(tmp_path: Path) -> None:
    table = tmp_path / "tcp"
    table.write_text("   1: 0A000001:18EB 0A000002:9C40 01 00000000:00000000 00:00000000 00000000  1000 0 1\n")
    _shell(await_head_script(str(table))).wait(_DEADLINE_S)


@pytest.mark.parametrize("hook", [head_hook("/tmp/mimo/driver.pid"), worker_hook()])
def test_the_hooks_are_valid_shell(hook) -> None:
    script = hook["preStop"]["exec"]["command"][2]
    assert subprocess.run(["/bin/sh", "-n", "-c", script], check=False).returncode == 0
