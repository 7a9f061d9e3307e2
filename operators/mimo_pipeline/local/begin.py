"""What `mimo run` does with a run folder: start anew, go on where it stopped, or refuse."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from mimo_vl.errors import ConfigError
from operators.mimo_pipeline.api import TERMINAL_PHASES, MimoPipelineSpec, Phase, PipelineRuntime
from operators.mimo_pipeline.local.children import ChildRecords, is_same_process, members
from operators.mimo_pipeline.local.state import Metadata, PipelineObject, RunFolder
from operators.mimo_pipeline.naming import pipeline_name_from
from operators.mimo_pipeline.retry import reopen
from operators.mimo_pipeline.stage_graph import problems

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What was asked for: the spec, and the runtime it resolves to today."""

    spec: MimoPipelineSpec
    runtime: PipelineRuntime
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


def begin(folder: RunFolder, wanted: Wanted) -> PipelineObject:
    """The object to control, written to the folder.

    The same spec, configuration and code go on: a failed run gets a new budget of attempts. Anything else, and a
    finished run, is a new run whose unchanged stages are reused by their keys.

    Raises:
        ConfigError: invalid graph, or processes of a different earlier run are still alive.
    """
    name = pipeline_name_from(folder.path.name)
    wrong = [*problems(name, wanted.spec), *_input_problems(wanted.spec)]
    if wrong:
        raise ConfigError("\n".join(wrong))
    existing = folder.load_or_none()
    if existing is not None and _continues(existing, wanted):
        return _go_on(folder, existing)
    if existing is not None:
        _require_quiet(folder, existing)
    metadata = Metadata(
        name=name, uid=str(uuid.uuid4()), labels=dict(wanted.labels), annotations=dict(wanted.annotations)
    )
    created = PipelineObject(metadata=metadata, spec=wanted.spec)
    folder.create(created)
    return created


def _input_problems(spec: MimoPipelineSpec) -> list[str]:
    return [
        f"spec.inputs[{given.name}]: secretRef, endpoint, region and secure are for clusters; leave them out and give "
        "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and storage.endpoint, which on one machine hold for all stores"
        for given in spec.inputs
        if given.lies_elsewhere
    ]


def _continues(existing: PipelineObject, wanted: Wanted) -> bool:
    if existing.status.phase in (Phase.SUCCEEDED, Phase.CANCELLED):
        # A retry request or approval on a finished run is worked off before anything new starts.
        return _has_open_retry(existing) and _is_same(existing, wanted)
    return _is_same(existing, wanted)


def _has_open_retry(existing: PipelineObject) -> bool:
    request = existing.spec.retry
    return request is not None and request.nonce != existing.status.handled_retry_nonce


def _is_same(existing: PipelineObject, wanted: Wanted) -> bool:
    if existing.spec.fixed_digest() != wanted.spec.fixed_digest():
        return False
    frozen = existing.status.runtime
    if frozen is None:
        return True
    now = wanted.runtime
    return frozen.code_digest == now.code_digest and frozen.config_digests == now.config_digests


def _go_on(folder: RunFolder, existing: PipelineObject) -> PipelineObject:
    if existing.status.phase == Phase.FAILED and not _has_open_retry(existing):
        folder.save_status(existing.metadata.uid, reopen(existing.status))
        logger.info("going on after a failure run=%s", existing.run_id)
    return folder.load()


def _require_quiet(folder: RunFolder, existing: PipelineObject) -> None:
    if existing.status.phase in TERMINAL_PHASES:
        return
    for child in ChildRecords(folder.children_path(existing.metadata.uid)).all():
        alive = is_same_process(child.pid, child.started_at_s)
        if alive or members(existing.run_id, child.stage, child.attempt):
            raise ConfigError(
                f"--run-dir: stage {child.stage} of an earlier run with another configuration or code is still running "
                f"(pid {child.pid}); end it with: kill {child.pid}, or use another --run-dir"
            )
