"""What an attempt tells the tracking server about itself when it starts and when it ends."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace

from jobs.failures import Failure
from mimo_vl.config.compose import dump_config
from mimo_vl.config.pipeline import PipelineConfig, stage_config_digest, stage_view
from mimo_vl.errors import EXIT_RESUME, MimoError
from mimo_vl.schema.environment import StageEnvironment
from mimo_vl.storage import ArtifactStore, store_for_uri
from mimo_vl.storage.attempt_files import AttemptFiles
from mimo_vl.storage.layout import JOURNAL_DIR, OUTPUT_DIR, join, run_prefix
from mimo_vl.tracking import RunStatus, Tracker, build_tracker
from mimo_vl.tracking.data_card import data_card
from mimo_vl.tracking.params import flatten
from mimo_vl.tracking.rest import without_credentials

logger = logging.getLogger(__name__)

# What a data stage leaves about its datasets.
DATA_REPORT = "report.json"


def start_tracker(
    env: StageEnvironment, config: PipelineConfig, store: ArtifactStore, files: AttemptFiles, *, node_rank: int
) -> Tracker:
    """Of rank 0, and of one process on each further node."""
    tracker = build_tracker(
        config.tracking,
        uri=env.tracking_uri or config.tracking.uri,
        store=store,
        impatient=files.impatient_store(),
        run=run_prefix(env.run_id),
        attempt=files.prefix,
        journal_dir=files.folder(JOURNAL_DIR),
        node_rank=node_rank,
    )
    tags = {"mimo.run_id": env.run_id, "mimo.stage_key": env.stage_key, "mimo.attempt": str(env.attempt)}
    tags |= {"mimo.code_digest": env.code_digest, "mimo.resume_from": env.resume_from_uri}
    tracker.start(f"{env.stage}-{env.attempt}", _params(env, config), {k: v for k, v in tags.items() if v})
    if node_rank:
        return tracker
    tracker.describe_pipeline(dump_config(_without_credentials(config)), _pipeline_tags(env, config))
    _log_inputs(tracker, env, config)
    return tracker


def finish_tracking(tracker: Tracker, failure: Failure | None) -> None:
    """Never raises: the output is published or the failure reported, tracking must not change how the process ends."""
    try:
        if failure is None:
            tracker.finish(RunStatus.FINISHED)
            return
        status = RunStatus.KILLED if failure.exit_code == EXIT_RESUME else RunStatus.FAILED
        tracker.finish(status, reason=failure.reason, message=failure.message)
    # Whatever it is, see above.
    except Exception as error:  # noqa: BLE001
        logger.warning("tracking could not be finished: %s", error)


def _params(env: StageEnvironment, config: PipelineConfig) -> dict[str, str]:
    """What the stage's result depends on."""
    digest = stage_config_digest(config, env.stage)
    named = {"profile": config.profile, "stage": str(env.stage), "config_digest": digest}
    return {**flatten(stage_view(config, env.stage)), **named}


def _without_credentials(config: PipelineConfig) -> PipelineConfig:
    return replace(config, tracking=replace(config.tracking, uri=without_credentials(config.tracking.uri)))


def _pipeline_tags(env: StageEnvironment, config: PipelineConfig) -> dict[str, str]:
    """Of the parent run. A link that leads nowhere is no tag."""
    tags = {
        "mimo.namespace": env.namespace,
        "mimo.pipeline": env.pipeline,
        "mimo.profile": config.profile,
        "mimo.code_digest": env.code_digest,
        "mimo.kfp_run": config.tracking.kfp_run or env.kfp_run,
        "mimo.cluster_link": config.tracking.cluster_link,
    }
    return {name: value for name, value in tags.items() if value}


def _log_inputs(tracker: Tracker, env: StageEnvironment, config: PipelineConfig) -> None:
    for name, ref in sorted(env.inputs.items()):
        report = {} if name in env.input_stores else _data_report(ref.uri, config)
        tracker.log_input(name, ref.uri, ref.digest, profile=json.dumps(report, sort_keys=True) if report else "")
        if report:
            card = data_card(name, uri=ref.uri, digest=ref.digest, report=report)
            tracker.log_artifact(f"data_cards/{name}.md", card.encode())


def _data_report(uri: str, config: PipelineConfig) -> Mapping[str, object]:
    """Empty for artifacts that are no data. Its bytes are checked where the stage reads the artifact."""
    try:
        found = json.loads(store_for_uri(uri, config.storage.impatient()).get_bytes(join(OUTPUT_DIR, DATA_REPORT))[0])
    except (MimoError, OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
