"""Locked memory for RDMA is one capability, for root in GPU pods, and only where the settings say so."""

from __future__ import annotations

import json

import pytest

from operators.mimo_pipeline.builders.leaf import build_leaf
from tests.fakes.clusters import STAGES, attempt_of, facts_of
from tests.fakes.pod_security import pod_templates

_LARGE = STAGES["mimo_vl_7b"]


def _contexts(kind: str, **settings: bool) -> dict[str, dict]:
    """Component -> security context of its container."""
    stage = _LARGE[kind]
    leaf = build_leaf(attempt_of(stage), stage, facts_of("mimo_vl_7b", **settings))
    return {
        template["metadata"]["labels"]["mimo.dev/component"]: template["spec"]["containers"][0]["securityContext"]
        for _, template in pod_templates(leaf)
    }


@pytest.mark.parametrize("kind", ["pytorchjob", "trainjob"])
def test_gpu_pods_run_as_root_with_one_capability(kind: str) -> None:
    context = _contexts(kind, lockMemory=True)["pytorch"]
    assert context["capabilities"] == {"drop": ["ALL"], "add": ["IPC_LOCK"]}
    assert context["runAsUser"] == 0
    assert context["runAsNonRoot"] is False
    assert context["allowPrivilegeEscalation"] is False
    assert context["readOnlyRootFilesystem"] is True


def test_pods_without_gpus_keep_their_rights() -> None:
    contexts = _contexts("rayjob", lockMemory=True)
    locked = {name for name, context in contexts.items() if "add" in context["capabilities"]}
    assert locked == {"ray-trainer", "ray-rollout", "ray-reward"}
    assert set(contexts) - locked == {"ray-head", "ray-submitter"}
    assert _contexts("job", lockMemory=True)["job"]["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize("kind", sorted(_LARGE))
def test_without_the_setting_nothing_is_added(kind: str) -> None:
    assert '"add"' not in json.dumps(_contexts(kind))
