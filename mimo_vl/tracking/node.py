"""What a further node of an attempt tells: its system metrics, into the run that the first node owns."""

from __future__ import annotations

from collections.abc import Mapping

from mimo_vl.tracking.mlflow import MlflowTracker
from mimo_vl.tracking.tracker import NullTracker, RunStatus


class NodeTracker(NullTracker):
    """Everything but system metrics is the owner's to say."""

    def __init__(self, tracker: MlflowTracker) -> None:
        self._tracker = tracker

    def start(self, run_name: str, params: Mapping[str, str], tags: Mapping[str, str]) -> None:  # noqa: ARG002
        self._tracker.start_threads()

    def flush(self) -> None:
        self._tracker.flush()

    def finish(self, status: RunStatus, *, reason: str = "", message: str = "") -> None:  # noqa: ARG002
        """The run's end is not ours."""
        self._tracker.stop_threads()
