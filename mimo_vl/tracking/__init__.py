"""Runs, metrics and models of a pipeline in an MLflow server that may be away at any time.

tracker.py          the Tracker protocol; the null tracker
build.py            build_tracker
mlflow.py           the tracker of a stage attempt: journal first, server in the background
journal.py          what was logged, on disk, with original times
delivery.py         journal entries -> requests; every one may be sent twice
runs.py             parent run of the pipeline, child run of the attempt: found or created
rest.py             the MLflow server's HTTP interface
sources.py          mimo-store:// model sources
mlmodel.py          the MLmodel file beside a model
system_metrics.py   CPU and memory while the stage runs
replay.py           send what the server missed; end the parent run
"""

from mimo_vl.tracking.build import build_tracker
from mimo_vl.tracking.mlmodel import write_mlmodel
from mimo_vl.tracking.replay import ReplayResult, finish_pipeline_run, replay_journals
from mimo_vl.tracking.tracker import NullTracker, RunStatus, Tracker

__all__ = [
    "NullTracker",
    "ReplayResult",
    "RunStatus",
    "Tracker",
    "build_tracker",
    "finish_pipeline_run",
    "replay_journals",
    "write_mlmodel",
]
