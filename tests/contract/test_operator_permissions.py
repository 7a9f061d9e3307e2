"""The verbs that the operator uses are exactly the verbs that it asks for: nothing refused, nothing in reserve."""

from __future__ import annotations

from pathlib import Path

from mimo_vl.storage.store import store_for_uri
from operators.mimo_pipeline.api import StageSpec
from operators.mimo_pipeline.cluster_settings import ClusterSettings
from operators.mimo_pipeline.code_digest import project_root
from operators.mimo_pipeline.kubernetes.controller import Controller
from operators.mimo_pipeline.kubernetes.handlers import watched
from operators.mimo_pipeline.kubernetes.lease import LeaseHolder
from operators.mimo_pipeline.kubernetes.permissions import OPERATOR_RULES, PIPELINE_RULES, Rule
from operators.mimo_pipeline.kubernetes.resources import LEAVES, PIPELINES, leaf_resource
from operators.mimo_pipeline.workloads import JobWorkload, PytorchWorkload, RayWorkload
from tests.fakes.cluster import FakeCluster

# Needed by the admission of blockOwnerDeletion, not by a call.
_BY_ADMISSION = {("update", "mimopipelines/finalizers")}


def _granted(rules: tuple[Rule, ...]) -> set[tuple[str, str]]:
    return {(verb, resource) for rule in rules for resource in rule.resources for verb in rule.verbs}


def _used_by_a_pipeline(path: Path) -> set[tuple[str, str]]:
    """A pod that has to be killed, a job name that is taken by itself, a status write: every way through apply.py."""
    cluster = FakeCluster(store=store_for_uri(path.as_uri()))
    accounts = {"trainer": "t", "rayHead": "h", "rayWorker": "w"}
    images = {"trainer": {"reference": "a:1"}, "rollout": {"reference": "b:1"}}
    store = {"uri": path.as_uri(), "secret": "store"}
    settings = ClusterSettings.model_validate({"images": images, "serviceAccounts": accounts, "store": store})

    def controller() -> Controller:
        return Controller(api=cluster, settings=settings, source_root=project_root(), now=lambda: cluster.now)

    spec = {"profile": "tiny", "stages": [{"name": "base"}]}
    cluster.put_pipeline("demo", spec)
    _rounds(controller(), 2)
    # Deleted and made anew: the name of its first job is still taken.
    del cluster.objects["MimoPipeline", "team", "demo"]
    cluster.put_pipeline("demo", spec)
    second = controller()
    _rounds(second, 2)
    del cluster.objects["Job", "team", "demo-base-1"]
    _rounds(second, 1)
    cluster.start_pods("demo-base-1")
    cluster.put_pipeline("demo", {**spec, "cancel": True})
    _rounds(second, 2)
    # The grace period of its pod is over, and the pod is still there.
    cluster.wait(130)
    _rounds(second, 2)
    return cluster.verbs


def _rounds(controller: Controller, count: int) -> None:
    for _ in range(count):
        controller.round("team", "demo")


def _used_by_watches() -> set[tuple[str, str]]:
    return {(verb, resource.plural) for resource in watched(LEAVES) for verb in ("list", "watch")}


def test_the_role_in_a_namespace_of_pipelines_is_what_is_used(tmp_path: Path) -> None:
    used = _used_by_a_pipeline(tmp_path) | _used_by_watches() | _BY_ADMISSION
    granted = _granted(PIPELINE_RULES)
    assert used - granted == set(), "used and not granted"
    # Every kind of job is handled by the same code; the scenario runs only one kind.
    per_leaf = {(verb, leaf.plural) for leaf in LEAVES for verb, name in used if name == "jobs"}
    assert granted - used - per_leaf == set(), "granted and not used"


def test_the_role_in_the_operators_namespace_is_what_the_lease_uses(tmp_path: Path) -> None:
    cluster = FakeCluster(store=store_for_uri(tmp_path.as_uri()))
    holder = LeaseHolder(api=cluster, namespace="mimo", identity="one", duration_s=15)
    holder.try_once()
    holder.try_once()
    assert cluster.verbs == _granted(OPERATOR_RULES)


def test_no_rule_reads_secrets_and_none_has_a_wildcard() -> None:
    for rule in (*PIPELINE_RULES, *OPERATOR_RULES):
        assert "secrets" not in rule.resources
        assert "*" not in (rule.api_group, *rule.resources, *rule.verbs)


def test_every_kind_of_stage_has_a_resource_with_a_rule() -> None:
    stages = (
        StageSpec(name="a", job=JobWorkload()),
        StageSpec(name="b", pytorch=PytorchWorkload()),
        StageSpec(name="c", pytorch=PytorchWorkload(backend="trainjob")),
        StageSpec(name="d", ray=RayWorkload()),
    )
    found = {leaf_resource(stage) for stage in stages}
    assert found == set(LEAVES)
    groups = {(rule.api_group, name) for rule in PIPELINE_RULES for name in rule.resources}
    assert {(r.group, r.plural) for r in (*found, PIPELINES)} <= groups
