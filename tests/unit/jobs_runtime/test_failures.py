from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobs.failures import describe_failure, read_failure, write_failure
from mimo_vl import errors


@pytest.mark.parametrize(
    ("error", "exit_code", "reason"),
    [
        (errors.ConfigError("seed: missing"), 2, "ConfigError"),
        (errors.DigestMismatchError("x"), 2, "DigestMismatchError"),
        (errors.NonFiniteLossError("x"), 2, "NonFiniteLossError"),
        (errors.StorageError("x"), 1, "StorageError"),
        (errors.InterruptedAfterSaveError("x"), 75, "InterruptedAfterSaveError"),
        (errors.AttemptClaimedError("x"), 75, "AttemptClaimedError"),
        (OSError(errno.ENOSPC, "No space left on device", "/data/x"), 1, "DiskFull"),
        (MemoryError(), 1, "OOMKilled"),
        (KeyError("loss"), 1, "KeyError"),
    ],
)
def test_each_error_has_its_exit_code_and_reason(error: Exception, exit_code: int, reason: str) -> None:
    failure = describe_failure(error)
    assert (failure.exit_code, failure.reason) == (exit_code, reason)


def test_a_full_disk_names_the_file_and_the_remedy() -> None:
    message = describe_failure(OSError(errno.ENOSPC, "No space left on device", "/data/x")).message
    assert message == "disk full while writing /data/x: free space or move storage.uri"


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for 256 KiB."""
    if os.geteuid() != 0:
        pytest.skip("needs root, who alone may mount a file system of a given size")
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], check=False, capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        # Lazily: the traceback that the test looks at may hold the file open.
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _write_bytes(path: Path) -> None:
    path.write_bytes(bytes(1 << 20))


def _write_torch(path: Path) -> None:
    import torch

    torch.save({"weight": torch.ones(1 << 18)}, path)


def _write_safetensors(path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    save_file({"weight": torch.ones(1 << 18)}, path)


def _write_sqlite(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("create table t(a)")
        connection.execute("insert into t values (?)", (bytes(1 << 20),))


@pytest.mark.timeout(120)
@pytest.mark.parametrize("write", [_write_bytes, _write_torch, _write_safetensors, _write_sqlite])
def test_whatever_writes_on_a_full_disk_the_message_says_so(full_disk: Path, write: Callable[[Path], None]) -> None:
    with pytest.raises(Exception) as raised:
        write(full_disk / "file")
    failure = describe_failure(raised.value)
    assert (failure.exit_code, failure.reason, failure.is_expected) == (1, "DiskFull", True)
    assert failure.message.startswith("disk full")
    assert failure.message.endswith(": free space or move storage.uri")


def test_a_full_disk_is_recognised_behind_the_error_that_it_caused() -> None:
    error = RuntimeError("checkpoint failed")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device", "/data/x")
    failure = describe_failure(error)
    assert (failure.reason, failure.message) == (
        "DiskFull",
        "disk full while writing /data/x: free space or move storage.uri",
    )
    assert describe_failure(RuntimeError("checkpoint failed")).reason == "RuntimeError"


def test_only_surprises_deserve_a_traceback() -> None:
    assert describe_failure(errors.InputError("x")).is_expected
    assert not describe_failure(ValueError("x")).is_expected


def test_a_failure_reaches_the_launcher(tmp_path: Path) -> None:
    failure = describe_failure(errors.InputError("sample 3 has no image"))
    write_failure(tmp_path, 1, failure)
    assert read_failure(tmp_path, 1) == failure
    assert read_failure(tmp_path, 0) is None
    (tmp_path / "rank-2.json").write_text('{"exit')
    assert read_failure(tmp_path, 2) is None
