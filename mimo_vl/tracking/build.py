"""Which tracker a configuration means."""

from __future__ import annotations

from pathlib import Path

from mimo_vl.config.storage import TrackingConfig
from mimo_vl.tracking.journal import JournalWriter
from mimo_vl.tracking.mlflow import MlflowTracker
from mimo_vl.tracking.rest import MlflowRest
from mimo_vl.tracking.runs import AttemptRun
from mimo_vl.tracking.tracker import KeyValueStore, NullTracker, Tracker


def build_tracker(
    config: TrackingConfig, *, uri: str, store: KeyValueStore, run: str, attempt: str, journal_dir: Path
) -> Tracker:
    """The tracker of one stage attempt.

    Args:
        config: of the pipeline.
        uri: of the tracking server; "" = the journal only.
        store: where `<run>/tracking.json` names the parent run, and where the journal goes.
        run: key prefix of the pipeline run.
        attempt: key prefix of the attempt, `<run>/<stage>/attempt-<n>`.
        journal_dir: local folder of the journal; on file:// stores `<attempt>/journal` itself.
    """
    if config.kind == "null":
        return NullTracker()
    journal = JournalWriter(journal_dir, store, attempt)
    target = None
    if uri:
        rest = MlflowRest(uri, timeout_s=config.timeout_s)
        target = AttemptRun(rest, store, experiment=config.experiment, run=run, attempt=attempt)
    return MlflowTracker(
        journal, target, timeout_s=config.timeout_s, system_metrics_interval_s=config.system_metrics_interval_s
    )
