"""From the records of a run to what a report shows, failed and killed attempts included."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from mimo_vl.reporting.read import Source, read_run
from mimo_vl.reporting.run import AttemptState, KnownStage, Run, WatchedTimes
from mimo_vl.schema.manifest import ExitRecord, InputRef, Revocation
from mimo_vl.schema.verdict import AttemptEnd, AttemptVerdict
from mimo_vl.storage import store_for_uri
from mimo_vl.storage.attempts import conclude_attempt, revoke_attempt
from mimo_vl.storage.local import LocalStore
from mimo_vl.tracking.journal import metrics_entry
from tests.fakes.run_store import START, RunStore, curation_report


@pytest.fixture
def run(tmp_path: Path) -> RunStore:
    return RunStore(LocalStore(tmp_path / "store"))


def _read(run: RunStore, *known: KnownStage) -> Run:
    return read_run(Source(store=run.store, run_id=run.run_id, open_store=store_for_uri, known=known))


def test_a_failed_attempt_keeps_its_reason_beside_the_one_that_succeeded(run: RunStore) -> None:
    run.failed("train", 1, message="disk full")
    run.succeeded("train", 2)
    (stage,) = _read(run, KnownStage(name="train", state="Succeeded", attempt=2)).stages
    first, second = stage.attempts
    assert (first.state, first.reason, first.message, first.exit_code) == ("Failed", "RuntimeError", "disk full", 1)
    assert (second.state, second.message, second.exit_code) == ("Succeeded", "", 0)
    assert stage.output is not None
    assert stage.output.uri.endswith("train/attempt-2")
    # Two attempts of a minute each.
    assert stage.seconds == 120.0


def test_an_attempt_without_an_exit_record_was_killed_and_ended_with_its_last_metric(run: RunStore) -> None:
    run.attempt("train", 1, metrics=[(1, {"loss": 2.0})])
    run.succeeded("train", 2)
    (stage,) = _read(run, KnownStage(name="train", state="Succeeded", attempt=2)).stages
    assert (stage.attempts[0].state, stage.attempts[0].reason) == (AttemptState.KILLED, "NoExitRecord")
    assert stage.attempts[0].finished_at == START + timedelta(seconds=30)


def test_the_latest_attempt_of_a_running_stage_runs_and_shows_its_progress(run: RunStore) -> None:
    run.attempt("train", 1)
    known = KnownStage(name="train", state="Running", attempt=1, progress="3/10 steps")
    (stage,) = _read(run, known, KnownStage(name="later", depends_on=("train",), state="Pending")).stages[:1]
    assert (stage.attempts[0].state, stage.attempts[0].message) == ("Running", "3/10 steps")
    assert stage.attempts[0].finished_at is None


def test_an_interrupted_attempt_is_no_failure(run: RunStore) -> None:
    run.attempt("train", 1, record=ExitRecord(exit_code=75, reason="Interrupted", message="stopped after saving"))
    run.succeeded("train", 2)
    (stage,) = _read(run, KnownStage(name="train", state="Succeeded", attempt=2)).stages
    assert stage.attempts[0].state == AttemptState.INTERRUPTED


@pytest.mark.parametrize(
    "record",
    [None, ExitRecord(exit_code=75, reason="Interrupted", message="stopped"), ExitRecord(exit_code=1, reason="X")],
)
def test_what_the_controller_judged_goes_before_what_the_attempt_said(run: RunStore, record: ExitRecord | None) -> None:
    prefix = run.attempt("train", 1, record=record)
    verdict = AttemptVerdict(state=AttemptEnd.KILLED, reason="Evicted", message="its pod was evicted", exit_code=137)
    conclude_attempt(run.store, prefix, verdict)
    run.succeeded("train", 2)
    (stage,) = _read(run, KnownStage(name="train", state="Succeeded", attempt=2)).stages
    first = stage.attempts[0]
    told = (first.state, first.reason, first.message, first.exit_code)
    assert told == ("Killed", "Evicted", "its pod was evicted", 137)


def test_an_attempt_that_ended_a_moment_ago_says_what_its_launcher_saw_until_it_is_judged(run: RunStore) -> None:
    run.attempt("train", 1, record=ExitRecord(exit_code=1, reason="Killed", message="rank 1 was ended by SIGABRT"))
    (stage,) = _read(run, KnownStage(name="train", state="Running", attempt=1)).stages
    assert (stage.attempts[0].state, stage.attempts[0].message) == ("Killed", "rank 1 was ended by SIGABRT")


def test_a_revoked_attempt_does_not_run_any_more(run: RunStore) -> None:
    prefix = run.attempt("train", 1)
    known = KnownStage(name="train", state="Running", attempt=1)
    assert _read(run, known).stages[0].attempts[0].state == "Running"
    revoke_attempt(run.store, prefix, Revocation(reason="its node stopped answering"))
    assert _read(run, known).stages[0].attempts[0].state == "Killed"


def test_an_output_that_does_not_pass_its_gate_says_so(run: RunStore) -> None:
    run.succeeded("train", 1)
    known = KnownStage(name="train", state="Failed", attempt=1, reason="GateNotMet", message="3, wanted < 1")
    (stage,) = _read(run, known).stages
    assert (stage.state, stage.attempts[0].state) == ("Failed", "Succeeded")
    assert (stage.attempts[0].reason, stage.attempts[0].message) == ("GateNotMet", "3, wanted < 1")


def test_a_reused_stage_shows_the_output_of_the_run_that_made_it(run: RunStore) -> None:
    earlier = RunStore(run.store, "local/demo/before00")
    made = earlier.succeeded("curate", metrics=[(1, {"loss": 1.0}), (2, {"loss": 0.5})])
    known = KnownStage(name="curate", state="Succeeded", reused=True, output_uri=made.uri)
    found = _read(run, known)
    assert found.stages[0].state == "Reused"
    assert found.stages[0].digest == made.digest
    assert found.stages[0].attempts[0].message == "made by run local/demo/before00"
    assert found.curves[0].series["loss"].values.tolist() == [1.0, 0.5]


def test_the_total_is_the_time_in_which_attempts_worked(run: RunStore) -> None:
    """Each takes a minute: curate of an earlier run, and two of train with a pause between them."""
    earlier = RunStore(run.store, "local/demo/before00")
    made = earlier.succeeded("curate")
    earlier.succeeded("other")
    run.pause(minutes=500)
    run.failed("train", 1)
    run.pause(minutes=600)
    run.succeeded("train", 2)
    known = (
        KnownStage(name="curate", state="Succeeded", reused=True, output_uri=made.uri),
        KnownStage(name="train", state="Succeeded", attempt=2),
    )
    end = START + timedelta(days=2)
    assert replace(_read(run, *known), finished_at=end).total_seconds == 180.0
    assert _read(run, *known).total_seconds is None
    assert replace(_read(run, known[0]), finished_at=end).total_seconds == 60.0


def test_an_attempt_counts_from_its_start_by_the_controller_until_nothing_of_it_was_left(run: RunStore) -> None:
    """Claims and exit records say a minute each, from 0:00 and from 10:00; the controller saw what is around them.

    The first died without a record, 2 s before its claim until 90 s after it; the second took 3 s to start and 1 s to
    end. Another run made the output of curate, for which its controller waited half a second more.
    """
    times = {
        (run.run_id, "train", 1): (-2.0, 90.0),
        (run.run_id, "train", 2): (600.0 - 3.0, 660.0 + 1.0),
        ("local/demo/before00", "curate", 1): (-10_000.5, -9_940.0),
    }

    def watched(run_id: str, stage: str, attempt: int) -> WatchedTimes:
        created_s, ended_s = times[run_id, stage, attempt]
        return WatchedTimes(
            created_at=START + timedelta(seconds=created_s), ended_at=START + timedelta(seconds=ended_s)
        )

    made = RunStore(run.store, "local/demo/before00").succeeded("curate")
    run.attempt("train", 1)
    run.pause(minutes=9)
    run.succeeded("train", 2)
    known = (
        KnownStage(name="curate", state="Succeeded", reused=True, output_uri=made.uri),
        KnownStage(name="train", state="Succeeded", attempt=2),
    )
    source = Source(store=run.store, run_id=run.run_id, open_store=store_for_uri, known=known, watched=watched)
    found = replace(read_run(source), finished_at=START + timedelta(days=1))
    assert [a.seconds for a in found.stages[1].attempts] == [92.0, 64.0]
    assert (found.stages[0].seconds, found.stages[1].seconds) == (None, 156.0)
    # 60.5 of curate, 92 and 64 of train; not the 8.5 minutes between the two.
    assert found.total_seconds == 216.5


def test_without_a_controller_an_attempt_counts_from_the_start_of_its_process(run: RunStore) -> None:
    """Importing takes 2.5 s before the claim; the exit record is a minute after it."""
    record = ExitRecord(exit_code=0, reason="Completed")
    run.attempt("train", 1, record=record, started_before_claim_s=2.5)
    found = replace(_read(run, KnownStage(name="train", state="Succeeded", attempt=1)), finished_at=START)
    assert found.stages[0].attempts[0].started_at == START - timedelta(seconds=2.5)
    assert found.total_seconds == 62.5


def test_attempts_at_the_same_time_count_once(run: RunStore) -> None:
    run.succeeded("a")
    run.pause(minutes=-1)
    run.succeeded("b")
    known = [KnownStage(name=name, state="Succeeded", attempt=1) for name in ("a", "b")]
    assert replace(_read(run, *known), finished_at=START).total_seconds == 60.0


def test_without_a_controller_the_store_tells_states_and_dependencies(run: RunStore) -> None:
    base = run.succeeded("base")
    run.succeeded("curate", inputs={"base": base})
    run.failed("projector-warmup")
    stages = _read(run).stages
    assert [(s.name, s.state, list(s.known.depends_on)) for s in stages] == [
        ("base", "Succeeded", []),
        ("curate", "Succeeded", ["base"]),
        ("projector-warmup", "Failed", []),
    ]


def test_a_damaged_record_costs_itself_and_not_the_report(run: RunStore, caplog: pytest.LogCaptureFixture) -> None:
    prefix = run.failed("train", 1)
    run.store.put_bytes(f"{prefix}/exit.json", b"{half")
    run.succeeded("evaluate", files={"evaluation.json": b"{half"})
    found = _read(run)
    assert [s.name for s in found.stages] == ["evaluate", "train"]
    assert found.material.evaluation is None
    assert "left out of the report" in caplog.text
    assert "the evaluation is missing" in caplog.text


def test_a_damaged_journal_costs_what_comes_after_the_damage(run: RunStore, caplog: pytest.LogCaptureFixture) -> None:
    prefix = run.attempt("train", 1, metrics=[(1, {"loss": 3.0}), (2, {"loss": 2.0}), (3, {"loss": 1.0})])
    key = f"{prefix}/journal/chunk-00000.jsonl"
    lines = run.store.get_bytes(key)[0].splitlines()
    run.store.put_bytes(key, b"\n".join([*lines[:3], b'{"kind": "of a later version"}', lines[3]]))
    assert _read(run).curves[0].series["loss"].values.tolist() == [3.0, 2.0]
    assert "metrics after this are missing" in caplog.text


def test_other_nodes_of_an_attempt_are_shown_too(run: RunStore) -> None:
    prefix = run.attempt("train", 1, metrics=[(0, {"system/process_pss/node-0": 5.0}), (1, {"loss": 1.0})])
    for step in (0, 1):
        entry = metrics_entry({"system/process_pss/node-1": 7.0}, step, 0)
        run.store.put_bytes(f"{prefix}/journal/node-1/chunk-0000{step}.jsonl", entry.to_json() + b"\n")
    assert _read(run).curves[0].series["system/process_pss/node-1"].values.tolist() == [7.0, 7.0]


def test_lineage_goes_up_to_what_nobody_of_ours_made(run: RunStore) -> None:
    source = InputRef(uri="file:///nowhere/model", digest="sha256:model")
    base = run.succeeded("base", inputs={"language-model": source})
    run.succeeded("curate", inputs={"base": base})
    artifacts = {a.name: a for a in _read(run).artifacts}
    assert artifacts["curate"].inputs["base"].digest == artifacts["base"].digest
    assert (artifacts["language-model"].digest, artifacts["language-model"].stage) == ("sha256:model", "")
    assert "has no manifest.json" in artifacts["language-model"].note


def test_an_input_that_has_other_bytes_than_recorded_is_a_source_with_a_note(run: RunStore) -> None:
    base = run.succeeded("base")
    run.succeeded("curate", inputs={"old-base": InputRef(uri=base.uri, digest="sha256:other")})
    artifacts = {a.name: a for a in _read(run).artifacts}
    assert "wanted sha256:other" in artifacts["old-base"].note


def test_data_cards_count_what_was_dropped_by_reason(run: RunStore) -> None:
    counts = {"seen": 5, "kept": 3, "dropped": {"too_small": 2}, "tokens": 70, "patches": 8}
    run.succeeded("curate", files={"report.json": curation_report(**{"train-ocr": counts})})
    run.succeeded("curate-rl", files={"report.json": b'{"rl-counting": {"kept": 1, "never_solved": 4}}'})
    first, second = _read(run).data_cards
    assert (first.dataset, first.seen, first.kept, dict(first.dropped)) == ("train-ocr", 5, 3, {"too_small": 2})
    assert dict(first.sizes) == {"tokens": 70, "patches": 8}
    assert (second.seen, second.kept, dict(second.dropped)) == (5, 1, {"never_solved": 4})
