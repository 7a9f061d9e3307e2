"""Which tracker a configuration means."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from mimo_vl.config.storage import TrackingConfig
from mimo_vl.tracking.journal import FILES, JournalWriter
from mimo_vl.tracking.mlflow import MlflowTracker
from mimo_vl.tracking.node import NodeTracker
from mimo_vl.tracking.replay import replay_earlier_attempts
from mimo_vl.tracking.rest import MlflowRest
from mimo_vl.tracking.runs import AttemptRun
from mimo_vl.tracking.tracker import KeyValueStore, NullTracker, Tracker


def build_tracker(
    config: TrackingConfig,
    *,
    uri: str,
    store: KeyValueStore,
    impatient: KeyValueStore,
    run: str,
    attempt: str,
    journal_dir: Path,
    node_rank: int = 0,
) -> Tracker:
    """The tracker of one stage attempt.

    Args:
        config: of the pipeline.
        uri: of the tracking server; "" = the journal only.
        store: where the journal goes.
        impatient: the same store for what happens in the background, such as `<run>/tracking.json`, which names the
            parent run: requests fail soon if it is away, and are made again later.
        run: key prefix of the pipeline run.
        attempt: key prefix of the attempt, `<run>/<stage>/attempt-<n>`.
        journal_dir: local folder of the journal; on file:// stores `<attempt>/journal` itself.
        node_rank: of this process's node. The first owns the attempt; the others tell their system metrics.
    """
    if config.kind == "null":
        return NullTracker()
    journal = JournalWriter(journal_dir, store, attempt, impatient=impatient, node_rank=node_rank)
    target = catch_up = None
    if uri:
        rest = MlflowRest(uri, timeout_s=config.timeout_s)
        is_owner = node_rank == 0
        target = AttemptRun(
            rest,
            impatient,
            experiment=config.experiment,
            run=run,
            attempt=attempt,
            may_create=is_owner,
            is_live=is_owner,
            files=journal_dir / FILES,
        )
        catch_up = partial(replay_earlier_attempts, config, uri=uri, store=impatient, run=run, attempt=attempt)
    tracker = MlflowTracker(
        journal,
        target,
        timeout_s=config.timeout_s,
        system_metrics_interval_s=config.system_metrics_interval_s,
        node_rank=node_rank,
        catch_up=None if node_rank else catch_up,
    )
    return NodeTracker(tracker) if node_rank else tracker
