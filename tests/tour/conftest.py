"""The run of `make demo-ci` and what people look at it with. MIMO_TOUR_RUN names another run folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from jobs.cli_target import open_target
from mimo_vl.storage.layout import run_of_output
from operators.mimo_pipeline.api import MimoPipelineStatus, StageState
from operators.mimo_pipeline.local.state import RunFolder
from operators.mimo_pipeline.local.summary import stage_rows
from tests.browser import Browser, open_browser
from tests.tour.looking import ROOT


@dataclass
class Run:
    folder: RunFolder
    status: MimoPipelineStatus

    @property
    def tracked_id(self) -> str:
        """An earlier run where all outputs were reused: `make tour` goes over a finished run."""
        return run_of_output(self.status.stage("morl").output_uri)

    @property
    def tracked_stages(self) -> dict[str, str]:
        """Stage -> what MLflow calls the attempt that made its output; the last stage has none."""
        return {row.name: row.tracking_run for row in stage_rows(self.status, {}) if row.tracking_run}

    def attempt(self, stage: str) -> str:
        """Name of the attempt that made the output, as MLflow has it."""
        name, number = self.status.stage(stage).output_uri.rstrip("/").split("/attempt-")
        return f"{name.split('/')[-1]}-{number}"

    def digest(self, stage: str) -> str:
        return self.status.stage(stage).digest


@pytest.fixture(scope="session")
def run() -> Run:
    folder = RunFolder(Path(os.environ.get("MIMO_TOUR_RUN", ROOT / "runs/demo-ci")))
    pipeline = folder.load_or_none()
    assert pipeline is not None, f"no run in {folder.path}; make one with: make demo-ci"
    assert {s.state for s in pipeline.status.stages} == {StageState.SUCCEEDED}
    return Run(folder, pipeline.status)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with open_browser() as found:
        yield found


@pytest.fixture(scope="session")
def mlflow(run: Run) -> Iterator[str]:
    """Address of the run's page, as `mimo mlflow` shows it."""
    with ExitStack() as stack:
        target = open_target(run.folder.path, "", "", "", None)
        yield stack.enter_context(target.open_tracking(target.load()))
