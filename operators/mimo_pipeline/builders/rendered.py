"""Every object that a pipeline would create, without a cluster: for `mimo check` and for admission tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mimo_vl.errors import ConfigError
from mimo_vl.storage.layout import attempt_prefix
from operators.mimo_pipeline.api import MimoPipelineSpec, StageSpec
from operators.mimo_pipeline.builders.cluster_facts import ClusterFacts
from operators.mimo_pipeline.builders.config_map import build_config_map
from operators.mimo_pipeline.builders.leaf import build_leaf
from operators.mimo_pipeline.plan import Create, InputArtifact

# Known only when the stage before has ended.
_UNKNOWN_DIGEST = "sha256:" + "0" * 64


def render_all(spec: MimoPipelineSpec, facts: ClusterFacts, config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The ConfigMap, then the first attempt of each stage, in the order of the spec.

    Raises:
        ConfigError: what is wrong with the pods of all stages, one line each.
    """
    rendered, problems = [build_config_map(facts, config)], []
    for stage in spec.stages:
        try:
            rendered.append(build_leaf(_first_attempt(stage, spec, facts), stage, facts))
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))
    return rendered


def _first_attempt(stage: StageSpec, spec: MimoPipelineSpec, facts: ClusterFacts) -> Create:
    made = {
        name: InputArtifact(
            uri=f"{facts.store.uri.rstrip('/')}/{attempt_prefix(facts.run_id, name, 1)}", digest=_UNKNOWN_DIGEST
        )
        for name in stage.depends_on
    }
    given = {i.name: InputArtifact(uri=i.uri, digest=i.digest) for i in spec.inputs if i.name in stage.inputs}
    return Create(stage=stage.name, attempt=1, key=_UNKNOWN_DIGEST, inputs={**made, **given})
