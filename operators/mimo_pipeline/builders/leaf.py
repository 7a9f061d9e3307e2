"""Which object runs an attempt of this stage?"""

from __future__ import annotations

from typing import Any

from operators.mimo_pipeline.api import StageKind, StageSpec
from operators.mimo_pipeline.builders.cluster_facts import ClusterFacts
from operators.mimo_pipeline.builders.job import build_job
from operators.mimo_pipeline.builders.pytorchjob import build_pytorchjob
from operators.mimo_pipeline.builders.rayjob import build_rayjob
from operators.mimo_pipeline.builders.trainjob import build_trainjob
from operators.mimo_pipeline.plan import Create


def build_leaf(create: Create, stage: StageSpec, facts: ClusterFacts) -> dict[str, Any]:
    """Pure, with a deterministic name: building twice gives the same.

    Raises:
        ConfigError: settings of a pod contradict each other; one line for each, with the field's path.
    """
    if stage.kind is StageKind.RAY:
        return build_rayjob(create, stage, facts)
    if stage.pytorch is None:
        return build_job(create, stage, facts)
    if stage.pytorch.backend == "trainjob":
        return build_trainjob(create, stage, facts)
    return build_pytorchjob(create, stage, facts)
