"""What the kubelet keeps of an exit record is a whole record."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.failures import describe_failure
from jobs.termination_log import MAX_BYTES, fitted, write_termination_log
from mimo_vl.errors import ConfigError
from mimo_vl.schema.manifest import ExitRecord
from operators.mimo_pipeline.cluster_pods import parse_pod

_LABELS = {"mimo.dev/pipeline": "demo", "mimo.dev/stage": "base", "mimo.dev/attempt": "1"}


def _record(message: str, num_ranks: int = 64) -> ExitRecord:
    codes = {str(rank): 2 for rank in range(num_ranks)}
    return ExitRecord(exit_code=2, rank_exit_codes=codes, reason="ConfigError", message=message)


def _seen_by_the_operator(path: Path) -> ExitRecord | None:
    """As it comes through the kubelet, which cuts at 4096 bytes."""
    message = path.read_bytes()[:4096].decode(errors="replace")
    ended = {"state": {"terminated": {"exitCode": 2, "message": message}}}
    pod = parse_pod({"metadata": {"labels": _LABELS}, "status": {"containerStatuses": [ended]}})
    assert pod is not None
    return pod.ends[0].record


@pytest.mark.parametrize("text", ["x", "é", "模", "😀", '"', "\n.", "\x01"])
def test_a_long_message_is_cut_so_that_the_record_is_whole(tmp_path: Path, text: str) -> None:
    log = tmp_path / "termination-log"
    log.touch()
    failure = describe_failure(ConfigError("model.nope: unknown key " + text * 5000))
    write_termination_log(_record(failure.message), log)
    seen = _seen_by_the_operator(log)
    assert seen is not None
    assert (seen.exit_code, seen.reason) == (2, "ConfigError")
    assert seen.message.startswith("model.nope: unknown key ")
    assert seen.message.endswith(" …")


def test_as_much_of_the_message_is_kept_as_fits() -> None:
    one_more = len("模".encode())
    size = len(fitted(_record("模" * 5000)).to_json())
    assert MAX_BYTES - one_more < size <= MAX_BYTES


def test_a_short_message_stays_as_it_is() -> None:
    record = _record("模型.nope: unknown key")
    assert fitted(record) is record


def test_outside_of_a_container_nothing_is_written(tmp_path: Path) -> None:
    write_termination_log(_record("x"), tmp_path / "none")
    assert list(tmp_path.iterdir()) == []
