"""The last lines of `mimo run`: where the report is, how long it took, how to see the run in MLflow."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest
from rich.console import Console

from jobs.cli_run import _conclude
from mimo_vl.config.compose import compose
from mimo_vl.config.pipeline import PipelineConfig
from mimo_vl.schema.manifest import ExitRecord
from mimo_vl.storage.local import LocalStore
from operators.mimo_pipeline.api import MimoPipelineStatus, Phase, StageState, StageStatus
from operators.mimo_pipeline.local.children import Child, ChildRecords
from operators.mimo_pipeline.local.state import Metadata, PipelineObject, RunFolder
from tests.fakes.pipelines import chain, succeeded
from tests.fakes.run_store import START, RunStore


@dataclass
class EndedRunner:
    """What is left of a runner when its loop has ended."""

    folder: RunFolder
    pipeline: PipelineObject
    config: PipelineConfig = field(default_factory=lambda: compose("tiny"))

    def peak_pss_bytes(self, status: MimoPipelineStatus) -> int:
        return 3 * 2**30


@pytest.fixture
def runner(tmp_path: Path) -> EndedRunner:
    """Stage a took 60 s by its own records; its controller waited from 4.5 s before until 2 s after them."""
    folder = RunFolder(tmp_path / "demo")
    spec = chain()
    pipeline = PipelineObject(metadata=Metadata(name="demo", uid="01234567-89ab"), spec=spec)
    store = RunStore(LocalStore(folder.store_path), pipeline.run_id)
    store.attempt("a", 1, record=ExitRecord(exit_code=0, reason="Completed"))
    start_s = START.timestamp()
    child = Child(stage="a", attempt=1, key="k", created_at_s=start_s - 4.5, ended_at_s=start_s + 62.0)
    ChildRecords(folder.children_path(pipeline.metadata.uid)).save(child)
    folder.create(pipeline)
    return EndedRunner(folder, pipeline)


def _end(runner: EndedRunner, phase: Phase, *stages: StageStatus) -> tuple[int, list[str]]:
    status = MimoPipelineStatus(phase=phase, stages=stages, started_at=START, finished_at=START + timedelta(hours=1))
    runner.folder.save_status(runner.pipeline.metadata.uid, status)
    text = io.StringIO()
    console = Console(force_terminal=True, color_system=None, file=text, width=200)
    return _conclude(console, runner, status), text.getvalue().splitlines()  # type: ignore[arg-type]


A_DONE = succeeded("a", output_uri="", finished_at=START + timedelta(minutes=5))


def test_it_says_where_the_report_is_how_long_it_took_and_how_to_see_mlflow(runner: EndedRunner) -> None:
    code, lines = _end(runner, Phase.SUCCEEDED, A_DONE)
    report = runner.folder.path / "report.html"
    assert code == 0
    assert "<html" in report.read_text()
    assert f"report: open {report.as_uri()} in a browser" in lines
    # 66.5 s, and neither the hour from start to end nor the minute of the records.
    assert "total 1:06, at most 3.00 GiB (PSS of all processes)" in lines
    (mlflow,) = [line for line in lines if line.startswith("MLflow: ")]
    assert " mlflow " in mlflow
    assert mlflow.endswith("/demo")


def test_the_summary_has_the_same_seconds_per_stage_and_in_all(runner: EndedRunner) -> None:
    _end(runner, Phase.SUCCEEDED, A_DONE)
    summary = json.loads((runner.folder.path / "summary.json").read_text())
    assert (summary["total_seconds"], [s["seconds"] for s in summary["stages"]]) == (66.5, [66.5])
    assert summary["peak_pss_bytes"] == 3 * 2**30


def test_a_stage_that_failed_names_its_log(runner: EndedRunner) -> None:
    failed = StageStatus(name="a", state=StageState.FAILED, attempt=1, reason="Oops", message="disk [full]")
    code, lines = _end(runner, Phase.FAILED, failed)
    assert code == 1
    assert "a failed: Oops: disk [full]" in lines
    assert any(line.startswith("  log: ") and " logs a --run-dir " in line for line in lines)


def test_a_run_without_mlflow_or_with_a_server_of_its_own_names_none_here(runner: EndedRunner) -> None:
    tracking = runner.config.tracking
    for changed in (replace(tracking, kind="null"), replace(tracking, uri="http://mlflow.example")):
        runner.config = replace(runner.config, tracking=changed)
        _, lines = _end(runner, Phase.SUCCEEDED, A_DONE)
        assert not any(line.startswith("MLflow:") for line in lines)


def test_a_run_that_was_stopped_says_how_to_go_on(runner: EndedRunner) -> None:
    code, lines = _end(runner, Phase.RUNNING, StageStatus(name="a", state=StageState.SUSPENDED))
    assert code == 75
    (line,) = lines
    assert line.startswith("stopped; go on with: ")
    assert " run --run-dir " in line
    assert not (runner.folder.path / "summary.json").exists()
