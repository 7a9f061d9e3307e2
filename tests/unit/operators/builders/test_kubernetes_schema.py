"""Every pod template is one that Kubernetes knows: no field is misspelt, none has the wrong type."""

from __future__ import annotations

import kubernetes_validate
import pytest

from operators.mimo_pipeline.builders.config_map import build_config_map
from operators.mimo_pipeline.builders.leaf import build_leaf
from tests.fakes.clusters import STAGES, attempt_of, facts_of
from tests.fakes.pod_security import pod_templates

_VERSION = "1.36"
_CASES = [pytest.param(p, s, id=f"{p}-{kind}") for p, stages in STAGES.items() for kind, s in stages.items()]


@pytest.mark.parametrize(("profile", "stage"), _CASES)
def test_pod_templates_are_valid(profile, stage) -> None:
    leaf = build_leaf(attempt_of(stage), stage, facts_of(profile))
    templates = [template for _, template in pod_templates(leaf)]
    assert templates
    for template in templates:
        pod = {"apiVersion": "v1", "kind": "Pod", **template}
        pod["metadata"] = {**pod["metadata"], "name": "pod"}
        kubernetes_validate.validate(pod, _VERSION, strict=True)


def test_the_job_and_the_config_map_are_valid() -> None:
    job = STAGES["tiny"]["job"]
    kubernetes_validate.validate(build_leaf(attempt_of(job), job, facts_of()), _VERSION, strict=True)
    kubernetes_validate.validate(build_config_map(facts_of(), {"a": 1}), _VERSION, strict=True)


def test_a_misspelt_field_is_found() -> None:
    job = STAGES["tiny"]["job"]
    leaf = build_leaf(attempt_of(job), job, facts_of())
    leaf["spec"]["backofLimit"] = leaf["spec"].pop("backoffLimit")
    with pytest.raises(kubernetes_validate.ValidationError, match="backofLimit"):
        kubernetes_validate.validate(leaf, _VERSION, strict=True)
