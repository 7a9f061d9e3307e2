"""Stage keys: what identifies a stage's result, so that equal work is done once.

key = sha256(stage kind; inputs by name -> content digest; digest of the stage's configuration; code digest)
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from mimo_vl.canonical import canonical_json
from operators.mimo_pipeline.api import (
    TERMINAL_STATES,
    MimoPipelineSpec,
    MimoPipelineStatus,
    PipelineRuntime,
    StageSpec,
    StageState,
    StageStatus,
)
from operators.mimo_pipeline.plan import InputArtifact


def stage_key(stage: StageSpec, inputs: Mapping[str, InputArtifact], runtime: PipelineRuntime) -> str:
    parts = {
        "name": stage.name,
        "kind": stage.kind.value,
        "inputs": {name: ref.digest for name, ref in sorted(inputs.items())},
        "config": runtime.config_digests.get(stage.name, ""),
        "code": runtime.code_digest,
    }
    return "sha256:" + hashlib.sha256(canonical_json(parts)).hexdigest()


def stage_inputs(
    spec: MimoPipelineSpec, stage: StageSpec, stages: Mapping[str, StageStatus]
) -> dict[str, InputArtifact]:
    """What the stage reads: outputs of the stages it depends on that succeeded, and given artifacts."""
    given = {i.name: InputArtifact(uri=i.uri, digest=i.digest) for i in spec.inputs if i.name in stage.inputs}
    made = {
        name: InputArtifact(uri=stages[name].output_uri, digest=stages[name].digest)
        for name in stage.depends_on
        if stages[name].state == StageState.SUCCEEDED
    }
    return {**given, **made}


def is_ready(stage: StageSpec, stages: Mapping[str, StageStatus]) -> bool:
    """True if all it depends on has succeeded, or, for a stage that runs on failure too, has ended."""
    states = {stages[name].state for name in stage.depends_on}
    return states <= (TERMINAL_STATES if stage.run_on_failure else {StageState.SUCCEEDED})


def keys_to_look_up(spec: MimoPipelineSpec, status: MimoPipelineStatus) -> set[str]:
    """Keys whose index entry the next reconcile wants to know."""
    return keys_to_start(spec, status) | keys_to_enter(status)


def keys_to_start(spec: MimoPipelineSpec, status: MimoPipelineStatus) -> set[str]:
    """Of stages that may start now, or take an earlier output instead."""
    if status.runtime is None:
        return set()
    stages = {s.name: s for s in status.stages}
    keys = set()
    for stage in spec.stages:
        current = stages.get(stage.name)
        if current and current.state in WAITING_STATES and is_ready(stage, stages):
            keys.add(stage_key(stage, stage_inputs(spec, stage, stages), status.runtime))
    return keys


def keys_to_enter(status: MimoPipelineStatus) -> set[str]:
    """Of fresh outputs, which belong into the index."""
    return {s.key for s in status.stages if s.state == StageState.SUCCEEDED and not s.reused}


# States from which an attempt may start.
WAITING_STATES = frozenset({StageState.PENDING, StageState.RETRYING, StageState.SUSPENDED})
