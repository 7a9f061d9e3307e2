"""Errors that are not ours: one line and an exit code, never a traceback."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from jobs import cli_dashboards
from jobs.cli import app
from jobs.cli_errors import explain_os_error

_WAITS = """
import time
import jobs.cli
@jobs.cli.app.command()
def wait() -> None:
    print("ready", flush=True)
    time.sleep(60)
jobs.cli.main()
"""


@pytest.mark.timeout(90)
def test_a_place_that_cannot_be_written_is_one_line_and_exit_code_two(tmp_path) -> None:
    file = tmp_path / "file"
    file.touch()
    command = [sys.executable, "-m", "jobs.cli", "check", "--profile", "tiny", "--output-dir", str(file / "manifests")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == (
        f"error: {file / 'manifests'}: Not a directory; a part of the path is a file; name another place\n"
    )


def test_the_folder_of_a_page_is_made(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(cli_dashboards, "page", lambda *_, **__: "<p>drawn</p>")
    path = tmp_path / "new" / "dashboards.html"
    assert CliRunner().invoke(app, ["dashboards", "--to", str(path)], catch_exceptions=False).exit_code == 0
    assert path.read_text() == "<p>drawn</p>"


@pytest.mark.timeout(90)
def test_ctrl_c_ends_a_command_with_130() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _WAITS, "wait"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in stderr


@pytest.mark.parametrize(
    ("number", "remedy", "code"),
    [
        (errno.ENOENT, "make its folder first", 2),
        (errno.EACCES, "change its rights", 2),
        (errno.ENOSPC, "make room on the disk", 1),
        (errno.ECONNREFUSED, "run the command again", 1),
    ],
)
def test_each_refusal_has_its_remedy_and_its_code(number, remedy, code) -> None:
    message, exit_code = explain_os_error(OSError(number, os.strerror(number), "/x/y"))
    assert message.startswith(f"/x/y: {os.strerror(number)}; ")
    assert remedy in message
    assert exit_code == code
