from __future__ import annotations

import errno
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
