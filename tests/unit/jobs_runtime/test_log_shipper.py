"""The copy of a node's log: masked, bounded, complete at the end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.log_shipper import LogTail, secret_values, ship_output
from mimo_vl.storage.local import LocalStore

ENVIRON = {
    "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE123",
    "AWS_SECRET_ACCESS_KEY": "very/secret+key",
    "RAY_AUTH_TOKEN": "token-0123456789",
    "MLFLOW_TRACKING_PASSWORD": "short",
    "PATH": "/usr/bin",
}


def test_values_of_secret_variables_are_masked_and_others_are_not() -> None:
    tail = LogTail(secret_values(ENVIRON))
    shown = tail.add(b"AKIAEXAMPLE123 very/secret+key token-0123456789 short /usr/bin\n")
    assert shown == b"AKIAEXAMPLE123 *** *** short /usr/bin\n"
    assert tail.content() == shown


def test_a_secret_that_contains_another_is_masked_whole() -> None:
    tail = LogTail(secret_values({"A_TOKEN": "abcdefgh", "B_TOKEN": "abcdefgh-and-more"}))
    assert tail.add(b"x abcdefgh-and-more y abcdefgh\n") == b"x *** y ***\n"


def test_presigned_urls_lose_their_signature() -> None:
    line = b"PUT http://s3/b/k?X-Amz-Algorithm=AWS4&X-Amz-Signature=0a1b&X-Amz-Credential=AK%2Fx failed\n"
    want = b"PUT http://s3/b/k?X-Amz-Algorithm=AWS4&X-Amz-Signature=***&X-Amz-Credential=*** failed\n"
    assert LogTail([]).add(line) == want


def test_tokens_in_headers_and_passwords_in_addresses_are_masked() -> None:
    tail = LogTail([])
    assert tail.add(b"Authorization: Bearer abc.def-123\n") == b"Authorization: Bearer ***\n"
    assert tail.add(b"GET http://ann:pa55@mlflow:5000/x at 12:30\n") == b"GET http://ann:***@mlflow:5000/x at 12:30\n"
    assert tail.add(b"the bearer of it, s3://bucket/a@b:c\n") == b"the bearer of it, s3://bucket/a@b:c\n"


def test_the_newest_lines_stay_and_what_is_left_out_is_counted() -> None:
    tail = LogTail([], max_bytes=20)
    for number in range(5):
        tail.add(b"line %d\n" % number)
    # 7 bytes per line: two fit into 20 bytes, three lines are gone... 20 // 7 = 2.
    assert tail.content() == b"... 21 bytes before this are left out\nline 3\nline 4\n"


def test_output_of_this_process_and_of_children_is_copied_and_still_shown(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    store = LocalStore(tmp_path)
    with ship_output(store, "logs/node-0.log", ENVIRON):
        os.write(1, b"own line\n")
        command = "import sys; print('out very/secret+key'); print('err', file=sys.stderr)"
        subprocess.run([sys.executable, "-c", command], check=True)
    log = (tmp_path / "logs" / "node-0.log").read_text().splitlines()
    assert sorted(log) == ["err", "out ***", "own line"]
    assert sorted(capfd.readouterr().err.splitlines()) == sorted(log)
    os.write(1, b"after\n")
    assert capfd.readouterr().out == "after\n"
    assert "after" not in (tmp_path / "logs" / "node-0.log").read_text()
