from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mimo_vl.config.storage import TrackingConfig
from mimo_vl.errors import InputError, StorageError
from mimo_vl.storage.local import LocalStore
from mimo_vl.tracking import NullTracker, RunStatus, build_tracker, replay_journals
from mimo_vl.tracking.journal import JournalWriter, metric_text, metrics_entry, num_sent, read_journal, run_sent_to
from mimo_vl.tracking.sources import model_source, resolve_source

ATTEMPT = "runs/local/p/abcd1234/base/attempt-1"
JOURNAL = f"{ATTEMPT}/journal"


class RemoteStore(LocalStore):
    """Like s3://: what is not put is not there."""

    def local_path(self, key: str = "") -> Path | None:
        return None


def test_entries_come_back_in_order_with_their_times(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    writer = JournalWriter(tmp_path / JOURNAL, store, ATTEMPT, impatient=store)
    for step in range(1201):
        writer.append(metrics_entry({"loss": 1.0 / (step + 1)}, step, 1000 + step))
    # On the disk before close(): a killed process loses nothing.
    entries = list(read_journal(store, JOURNAL))
    assert [(e.step, e.time_ms) for e in entries] == [(step, 1000 + step) for step in range(1201)]
    assert entries[2].values == {"loss": "0.3333333333333333"}
    assert [p.name for p in sorted((tmp_path / JOURNAL).iterdir())] == [f"chunk-0000{k}.jsonl" for k in range(3)]
    assert run_sent_to(store, JOURNAL) == ""
    writer.close(is_sent=True, run_id="abc")
    assert (num_sent(store, JOURNAL), run_sent_to(store, JOURNAL)) == (1201, "abc")


def test_a_half_written_last_line_is_left_out_and_a_damaged_earlier_one_is_an_error(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    writer = JournalWriter(tmp_path / JOURNAL, store, ATTEMPT, impatient=store)
    writer.append(metrics_entry({"loss": 1.0}, 1, 1))
    chunk = tmp_path / JOURNAL / "chunk-00000.jsonl"
    whole = chunk.read_bytes()
    chunk.write_bytes(whole + b'{"kind":"met')
    assert len(list(read_journal(store, JOURNAL))) == 1
    chunk.write_bytes(b'{"kind":"met\n' + whole)
    with pytest.raises(ValueError, match="JSON"):
        list(read_journal(store, JOURNAL))


def test_flush_puts_the_journal_into_a_remote_store(tmp_path: Path) -> None:
    store = RemoteStore(tmp_path / "remote")
    writer = JournalWriter(tmp_path / "scratch", store, ATTEMPT, impatient=store)
    writer.append(metrics_entry({"loss": 1.0}, 1, 1))
    assert list(read_journal(store, JOURNAL)) == []
    writer.flush()
    assert [e.step for e in read_journal(store, JOURNAL)] == [1]


class StoreAway(RemoteStore):
    """Refuses `num_failures` uploads."""

    def __init__(self, root: Path, num_failures: float) -> None:
        super().__init__(root)
        self.num_failures = num_failures
        self.tried = threading.Event()

    def put_file(self, key: str, path: Path) -> None:
        self.num_failures -= 1
        if self.num_failures >= 0:
            self.tried.set()
            raise StorageError("away")
        super().put_file(key, path)


def _eventually(probe: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 20
    while not probe():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def test_a_store_that_is_away_is_met_in_the_background_and_gets_everything_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mimo_vl.tracking.journal_upload._INTERVAL_S", 0.01)
    store, away = RemoteStore(tmp_path / "remote"), StoreAway(tmp_path / "remote", num_failures=3)
    writer = JournalWriter(tmp_path / "scratch", store, ATTEMPT, impatient=away)
    # More than a chunk: what is full is kept as well.
    for step in range(501):
        writer.append(metrics_entry({"loss": 1.0}, step, step))
    writer.keep_file("attempt/plots/loss.svg", b"<svg/>")
    assert away.tried.wait(20)
    _eventually(lambda: store.exists(f"{JOURNAL}/chunk-00001.jsonl"))
    assert [e.step for e in read_journal(store, JOURNAL)] == list(range(501))
    assert store.get_bytes(f"{JOURNAL}/files/attempt/plots/loss.svg")[0] == b"<svg/>"


def test_only_a_flush_waits_for_the_store_and_what_it_misses_stays(tmp_path: Path) -> None:
    away = StoreAway(tmp_path / "remote", num_failures=math.inf)
    writer = JournalWriter(tmp_path / "scratch", away, ATTEMPT, impatient=away)
    writer.append(metrics_entry({"loss": 1.0}, 1, 1))
    with pytest.raises(StorageError):
        writer.flush()
    away.num_failures = 0
    writer.flush()
    assert [e.step for e in read_journal(away, JOURNAL)] == [1]


@pytest.mark.parametrize(
    ("value", "text"), [(math.nan, "NaN"), (math.inf, "Infinity"), (-math.inf, "-Infinity"), (0.1, "0.1")]
)
def test_every_number_has_a_text(value: float, text: str) -> None:
    assert metric_text(value) == text
    assert float(text) == value or math.isnan(value)


def test_without_a_server_the_journal_keeps_everything(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    config = TrackingConfig(system_metrics_interval_s=0.0)
    tracker = build_tracker(
        config,
        uri="",
        store=store,
        impatient=store,
        run="runs/local/p/abcd1234",
        attempt=ATTEMPT,
        journal_dir=tmp_path / JOURNAL,
    )
    tracker.start("base-1", {"seed": "1"}, {})
    tracker.log_metrics({"loss": 2.0}, 1)
    tracker.log_metrics({}, 2)
    tracker.finish(RunStatus.FAILED)
    assert [(e.kind, e.name) for e in read_journal(store, JOURNAL)] == [
        ("start", "base-1"),
        ("metrics", ""),
        ("finish", "FAILED"),
    ]
    assert num_sent(store, JOURNAL) == 0
    result = replay_journals(config, uri="", store=store, run="runs/local/p/abcd1234")
    assert (result.num_sent, result.num_kept) == (0, 3)


def test_kind_null_forgets_everything(tmp_path: Path) -> None:
    config = TrackingConfig(kind="null")
    store = LocalStore(tmp_path)
    tracker = build_tracker(
        config,
        uri="http://x",
        store=store,
        impatient=store,
        run="r",
        attempt="r/s/attempt-1",
        journal_dir=tmp_path / "j",
    )
    assert isinstance(tracker, NullTracker)
    tracker.start("x", {}, {})
    tracker.log_metrics({"loss": 1.0}, 1)
    tracker.finish(RunStatus.FINISHED)
    assert list(tmp_path.iterdir()) == []


def test_a_model_source_leads_back_to_the_folder_of_the_model(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    uri = store.uri(f"{ATTEMPT}/output/model")
    source = model_source(store, uri)
    assert source == "mimo-store://local/p/abcd1234/base/attempt-1/output/model"
    assert resolve_source(store.uri(), source) == uri
    assert model_source(store, "s3://bucket/runs/x") == "s3://bucket/runs/x"
    with pytest.raises(InputError, match="leads out of the store"):
        resolve_source(store.uri(), "mimo-store://local/../../keys")
    with pytest.raises(InputError, match="is not below"):
        model_source(store, "file:///etc")
