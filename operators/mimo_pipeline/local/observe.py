"""What the local world looks like now: attempts from the backend, reusable outputs from the key index."""

from __future__ import annotations

from operators.mimo_pipeline.api import PipelineRuntime
from operators.mimo_pipeline.backend import StageBackend
from operators.mimo_pipeline.builders.process import Process
from operators.mimo_pipeline.key_index import KeyIndex
from operators.mimo_pipeline.keys import keys_to_enter, keys_to_start
from operators.mimo_pipeline.local.state import PipelineObject
from operators.mimo_pipeline.plan import Observed


def observe(
    pipeline: PipelineObject, runtime: PipelineRuntime, backend: StageBackend[Process], index: KeyIndex
) -> Observed:
    return Observed(
        attempts=tuple(backend.observe()),
        outputs_by_key=index.look_up(keys_to_start(pipeline.spec, pipeline.status), keys_to_enter(pipeline.status)),
        runtime=runtime,
        generation=pipeline.metadata.generation,
        pipeline=pipeline.metadata.name,
    )
