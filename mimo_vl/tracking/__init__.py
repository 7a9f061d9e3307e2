"""Runs, metrics and models of a pipeline in an MLflow server that may be away at any time.

tracker.py          the Tracker protocol; the null tracker
build.py            build_tracker
mlflow.py           the tracker of a stage attempt: journal first, server in the background
node.py             the tracker of a further node: system metrics alone
journal.py          what was logged, on disk, with original times
journal_upload.py   into the store, in the background
delivery.py         journal entries -> requests; every one may be sent twice
artifacts.py        small files into the artifact view of a run
registry.py         model versions and their aliases
runs.py             parent run of the pipeline, child run of the attempt: found or created
parent_end.py       when the parent run ends because of its attempts
rest.py             the MLflow server's HTTP interface
replay.py           send what the server missed
token_axis.py       curves by tokens beside curves by steps
params.py           a configuration as flat parameters
system_metrics.py   CPU and memory while the stage runs
charts.py           curves as SVG
stage_plots.py      which curves of a stage are drawn
tables.py           rows as MLflow tables: rollouts, predictions, stages
data_card.py        what an input of a stage holds
sources.py          mimo-store:// model sources
artifact_repository.py settings.py    how MLflow opens them
mlmodel.py          the MLmodel file and the card beside a model
"""

from mimo_vl.tracking.build import build_tracker
from mimo_vl.tracking.mlmodel import write_mlmodel
from mimo_vl.tracking.replay import ReplayResult, replay_journals
from mimo_vl.tracking.tracker import ModelVersion, NullTracker, RunStatus, Target, Tracker

__all__ = [
    "ModelVersion",
    "NullTracker",
    "ReplayResult",
    "RunStatus",
    "Target",
    "Tracker",
    "build_tracker",
    "replay_journals",
    "write_mlmodel",
]
