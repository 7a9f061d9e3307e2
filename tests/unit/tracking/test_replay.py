"""How an attempt ended, by its own words and by those of its launcher."""

from __future__ import annotations

from pathlib import Path

import pytest

from mimo_vl.schema.manifest import ExitRecord
from mimo_vl.schema.verdict import AttemptEnd, AttemptVerdict
from mimo_vl.storage.attempts import conclude_attempt
from mimo_vl.storage.local import LocalStore
from mimo_vl.tracking.journal import JournalEntry, metrics_entry
from mimo_vl.tracking.mlflow import reason_tags
from mimo_vl.tracking.replay import _ended

ATTEMPT = "runs/local/p/abcd1234/base/attempt-1"
_SIGABRT = ExitRecord(exit_code=1, reason="Killed", message="rank 1 was ended by SIGABRT")
_NO_MEMORY = ExitRecord(exit_code=1, reason="OOMKilled", message="memory ran out")
_DONE = ExitRecord(exit_code=0, reason="Completed")
_UNKNOWN = (
    "KILLED",
    "NoExitRecord",
    "its process was killed, or its machine was lost, before it could say why it ended",
)
_EVICTED = AttemptVerdict(state=AttemptEnd.KILLED, reason="Evicted", message="its pod was evicted")


def _end(status: str, reason: str = "", message: str = "") -> JournalEntry:
    return JournalEntry(kind="finish", time_ms=5, name=status, tags=reason_tags(reason, message))


@pytest.mark.parametrize(
    ("said", "record", "wanted"),
    [
        # Nobody said anything; the launcher did.
        (None, None, _UNKNOWN),
        (None, _NO_MEMORY, ("FAILED", "OOMKilled", "memory ran out")),
        (None, _DONE, ("FINISHED", "", "")),
        # Rank 0 failed, or was told to end, because of another rank.
        (_end("FAILED", "RuntimeError", "connection closed"), _SIGABRT, ("KILLED", "Killed", _SIGABRT.message)),
        (_end("KILLED", "Interrupted", "saved step 3"), _SIGABRT, ("KILLED", "Killed", _SIGABRT.message)),
        (_end("FAILED", "NaN", "loss"), None, ("FAILED", "NaN", "loss")),
        # An output is there, whatever came later.
        (_end("FINISHED"), _SIGABRT, ("FINISHED", "", "")),
    ],
)
def test_how_an_attempt_ended(
    tmp_path: Path, said: JournalEntry | None, record: ExitRecord | None, wanted: tuple[str, str, str]
) -> None:
    store = LocalStore(tmp_path)
    if record is not None:
        store.put_bytes(f"{ATTEMPT}/exit.json", record.to_json())
    entries = [metrics_entry({"loss": 1.0}, 1, 4), *([said] if said else [])]
    last = _ended(store, ATTEMPT, entries)[-1]
    assert (last.name, last.tags.get("mimo.reason", ""), last.tags.get("mimo.message", "")) == wanted


@pytest.mark.parametrize(
    ("said", "record"),
    [
        (None, None),
        (None, _SIGABRT),
        (_end("FAILED", "RuntimeError", "connection closed"), None),
        (_end("KILLED", "Interrupted", "saved step 3"), ExitRecord(exit_code=75, reason="Interrupted", message="x")),
        # It believed that it was done, but its output did not come to be.
        (_end("FINISHED"), _DONE),
    ],
)
@pytest.mark.parametrize(
    ("verdict", "status"),
    [
        (_EVICTED, "KILLED"),
        (_EVICTED.model_copy(update={"state": AttemptEnd.INTERRUPTED}), "KILLED"),
        (_EVICTED.model_copy(update={"state": AttemptEnd.FAILED}), "FAILED"),
    ],
)
def test_what_the_controller_judged_goes_before_all_other_words(
    tmp_path: Path, said: JournalEntry | None, record: ExitRecord | None, verdict: AttemptVerdict, status: str
) -> None:
    store = LocalStore(tmp_path)
    if record is not None:
        store.put_bytes(f"{ATTEMPT}/exit.json", record.to_json())
    conclude_attempt(store, ATTEMPT, verdict)
    entries = [metrics_entry({"loss": 1.0}, 1, 4), *([said] if said else [])]
    ended = _ended(store, ATTEMPT, entries)
    assert (ended[-1].name, ended[-1].tags) == (status, reason_tags("Evicted", "its pod was evicted"))
    assert _ended(store, ATTEMPT, ended) == ended


def test_an_end_that_the_launcher_confirms_is_told_once(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put_bytes(f"{ATTEMPT}/exit.json", _NO_MEMORY.to_json())
    entries = [_end("FAILED", _NO_MEMORY.reason, _NO_MEMORY.message)]
    assert _ended(store, ATTEMPT, entries) == entries
