"""Runs, metrics and models of a pipeline in an MLflow server that may be away at any time.

tracker.py    the Tracker protocol, the null tracker
build.py      build_tracker
"""

from mimo_vl.tracking.build import build_tracker
from mimo_vl.tracking.tracker import NullTracker, RunStatus, Tracker

__all__ = ["NullTracker", "RunStatus", "Tracker", "build_tracker"]
