"""What is frozen at the start, and every reason why it cannot be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import ValidationError

from mimo_vl.config.compose import parse
from operators.mimo_pipeline.api import PipelineRuntime
from operators.mimo_pipeline.builders.leaf import build_leaf
from operators.mimo_pipeline.cluster_settings import ClusterSettings, KubeflowSettings, WorkloadSettings
from operators.mimo_pipeline.code_digest import project_root
from operators.mimo_pipeline.kubernetes.compose_runtime import (
    Composed,
    cluster_facts,
    compose_runtime,
    storage_config,
    store_settings,
)
from operators.mimo_pipeline.kubernetes.pipelines import parse_pipeline
from operators.mimo_pipeline.plan import Create

SETTINGS = ClusterSettings.model_validate(
    {
        "images": {"trainer": {"reference": "r/trainer:2"}, "rollout": {"reference": "r/rollout:2"}},
        "serviceAccounts": {"trainer": "t", "rayHead": "h", "rayWorker": "w"},
        "store": {"uri": "s3://mimo/all", "endpoint": "minio:9000", "secure": False, "secret": "store"},
        "trackingUri": "http://mlflow:5000",
    }
)


def _raw(stages: Sequence[dict[str, Any]], *, status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    metadata = {"namespace": "team", "name": "demo", "uid": "01234567-89"}
    return {"metadata": metadata, "spec": {"profile": "tiny", "stages": stages, **spec}, "status": status or {}}


def _compose(*stages: dict[str, Any], settings: ClusterSettings = SETTINGS, **spec: Any) -> Composed:
    pipeline = parse_pipeline(_raw(stages or [{"name": "base"}], **spec))
    return compose_runtime(pipeline, settings, project_root())


def test_the_configuration_names_the_store_and_tracking_of_the_operator() -> None:
    composed = _compose({"name": "base"}, {"name": "curate", "dependsOn": ["base"]})
    assert composed.problems == ()
    assert composed.runtime is not None
    config = parse(dict(composed.runtime.config))
    assert (config.storage.kind, config.storage.uri, config.storage.endpoint) == ("s3", "s3://mimo/all", "minio:9000")
    assert (config.tracking.kind, config.tracking.uri) == ("mlflow", "http://mlflow:5000")
    assert sorted(composed.runtime.config_digests) == ["base", "curate"]
    assert composed.runtime.image_digests == {"trainer": "r/trainer:2", "rollout": "r/rollout:2"}


def test_the_pipelines_own_store_and_tracking_go_first() -> None:
    composed = _compose(storage={"uri": "s3://own", "secret": "mine"}, tracking={"uri": ""})
    assert composed.runtime is not None
    config = parse(dict(composed.runtime.config))
    assert (config.storage.uri, config.storage.endpoint) == ("s3://own", "")
    # Without a server the journal beside the artifacts is still written.
    assert (config.tracking.kind, config.tracking.uri) == ("mlflow", "")


def _cluster_link(link: str, **spec: Any) -> str:
    composed = _compose(settings=SETTINGS.model_copy(update={"cluster_link": link}), **spec)
    assert composed.runtime is not None
    return parse(dict(composed.runtime.config)).tracking.cluster_link


def test_the_configuration_links_to_the_pipelines_page_in_its_cluster() -> None:
    link = "https://console.example.com/#/{namespace}/mp/{pipeline}"
    assert _cluster_link(link) == "https://console.example.com/#/team/mp/demo"
    assert _cluster_link(link, overrides=["tracking.cluster_link='https://own'"]) == "https://own"
    assert _cluster_link("") == ""


@pytest.mark.parametrize("link", ["console.example.com", "https://console/{name}", "https://console/a b"])
def test_a_link_to_nowhere_is_refused(link: str) -> None:
    with pytest.raises(ValidationError, match="clusterLink"):
        ClusterSettings.model_validate({**SETTINGS.to_values(), "clusterLink": link})


@pytest.mark.parametrize(
    ("ui", "run", "wanted"),
    [
        ("https://kfp.example.com/pipeline", "run-1", "https://kfp.example.com/pipeline/#/runs/details/run-1"),
        ("", "run-1", "run-1"),
        ("https://kfp.example.com", "", ""),
    ],
)
def test_an_attempt_is_told_which_run_in_kubeflow_pipelines_shows_it(ui: str, run: str, wanted: str) -> None:
    kubeflow = KubeflowSettings(endpoint="http://ml-pipeline:8888", image="r/kfp:1", ui=ui)
    settings = SETTINGS.model_copy(update={"kubeflow": kubeflow})
    pipeline = parse_pipeline(_raw([{"name": "base"}], status={"kubeflowRun": run}))
    facts = cluster_facts(pipeline, PipelineRuntime(), settings)
    leaf = build_leaf(Create(stage="base", attempt=2, key="k", inputs={}), pipeline.spec.stage("base"), facts)
    [container] = leaf["spec"]["template"]["spec"]["containers"]
    assert {e["name"]: e.get("value") for e in container["env"]}["MIMO_KFP_RUN"] == wanted


def test_where_things_are_kept_changes_no_stage_key() -> None:
    one, other = _compose(), _compose(storage={"uri": "s3://own", "secret": "mine"})
    assert one.runtime is not None
    assert other.runtime is not None
    assert one.runtime.config_digests == other.runtime.config_digests


def test_ranks_that_do_not_fit_the_configuration_name_both_fields() -> None:
    composed = _compose({"name": "projector-warmup", "pytorch": {"numNodes": 3}})
    assert composed.runtime is None
    [problem] = composed.problems
    assert problem.startswith("spec.stages[projector-warmup].pytorch: numNodes x numProcsPerNode is 3, but ")
    assert "stages.projector-warmup.parallelism.num_ranks is" in problem


def test_an_override_makes_the_ranks_fit() -> None:
    name = "stages.projector-warmup.parallelism.num_ranks=3"
    assert _compose({"name": "projector-warmup", "pytorch": {"numNodes": 3}}, overrides=[name]).problems == ()


def test_wrong_keys_are_all_told_at_once() -> None:
    composed = _compose(overrides=["model.nope=1", "seed=x"])
    assert composed.runtime is None
    assert any("model.nope: unknown key" in p for p in composed.problems)
    assert any(p.startswith("seed: got 'x'") for p in composed.problems)


def test_an_unknown_profile_and_an_unknown_stage_are_told() -> None:
    assert "profile: 'huge' is unknown" in _compose(profile="huge").problems[0]
    assert "['train'] unknown; choose from" in _compose({"name": "train"}).problems[0]


def test_what_the_builders_refuse_is_told_before_the_start() -> None:
    pod = {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}
    [problem] = _compose({"name": "base", "job": {"pod": pod}}).problems
    assert "requests.cpu: got 2, wanted at most limits.cpu = 1" in problem


def test_problems_of_every_kind_are_told_at_once() -> None:
    pod = {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}
    stages = ({"name": "train"}, {"name": "base", "job": {"pod": pod}})
    unknown, wrong_key, wrong_pod = _compose(*stages, overrides=["model.nope=1"]).problems
    assert "['train'] unknown" in unknown
    assert "model.nope: unknown key" in wrong_key
    assert "requests.cpu: got 2" in wrong_pod
    # Ranks can be compared with a configuration only.
    stages = ({"name": "train"}, {"name": "base", "job": {"pod": pod}})
    unknown, wrong_ranks, wrong_pod = _compose(
        *stages, {"name": "projector-warmup", "pytorch": {"numNodes": 3}}
    ).problems
    assert "['train'] unknown" in unknown
    assert "numNodes x numProcsPerNode is 3" in wrong_ranks
    assert "requests.cpu: got 2" in wrong_pod


def test_the_store_is_asked_with_a_short_time_limit() -> None:
    assert storage_config(SETTINGS.store).timeout_s == 10.0


def test_the_facts_of_attempts_have_the_frozen_images() -> None:
    metadata = {"namespace": "team", "name": "demo", "uid": "01234567-89"}
    pipeline = parse_pipeline({"metadata": metadata, "spec": {"profile": "tiny", "stages": [{"name": "base"}]}})
    composed = _compose()
    assert composed.runtime is not None
    newer = SETTINGS.model_copy(
        update={
            "images": SETTINGS.images.model_validate({"trainer": {"reference": "r/t:3"}, "rollout": {"reference": "x"}})
        }
    )
    facts = cluster_facts(pipeline, composed.runtime, newer)
    assert facts.settings.images.trainer.reference == "r/trainer:2"
    assert (facts.run_id, facts.config_map) == ("team/demo/01234567", "demo-01234567-config")
    assert facts.store == store_settings(pipeline.spec, SETTINGS, None)


def test_store_and_tracking_are_frozen_with_the_name_of_the_secret_only() -> None:
    metadata = {"namespace": "team", "name": "demo", "uid": "01234567-89"}
    pipeline = parse_pipeline({"metadata": metadata, "spec": {"profile": "tiny", "stages": [{"name": "base"}]}})
    runtime = _compose().runtime
    assert runtime is not None
    assert runtime.store == SETTINGS.store
    moved = {"store": {"uri": "s3://other", "endpoint": "else:9000", "secret": "other"}, "trackingUri": "http://else"}
    later = ClusterSettings.model_validate(SETTINGS.to_values() | moved)
    facts = cluster_facts(pipeline, runtime, later)
    assert (facts.store, facts.tracking_uri) == (SETTINGS.store, "http://mlflow:5000")
    # A new pipeline takes the new ones.
    assert store_settings(pipeline.spec, later, None).uri == "s3://other"


def test_a_pipeline_that_began_without_tracking_goes_on_without() -> None:
    metadata = {"namespace": "team", "name": "demo", "uid": "01234567-89"}
    spec = {"profile": "tiny", "stages": [{"name": "base"}], "tracking": {"uri": ""}}
    runtime = _compose(tracking={"uri": ""}).runtime
    assert runtime is not None
    assert cluster_facts(parse_pipeline({"metadata": metadata, "spec": spec}), runtime, SETTINGS).tracking_uri == ""


_LEAVES = {
    "base": {"name": "base"},
    "projector-warmup": {"name": "projector-warmup", "pytorch": {"numNodes": 2}},
    "morl": {"name": "morl", "ray": {}},
}
_CHANGED = {
    "pods": {
        kind: {"requests": {"cpu": "3"}, "limits": {"memory": "9Gi"}, "terminationGracePeriodSeconds": 77}
        for kind in ("job", "pytorch", "rayHead", "rayTrainer", "rayRollout", "rayReward")
    },
    "runAsUser": 4321,
    "lockMemory": True,
    "environment": {"claim": "other", "path": "/other"},
    "rayVersion": "2.99.0",
    "queueName": "other",
}


def _leaf(stage: dict[str, Any], runtime: PipelineRuntime, settings: ClusterSettings, **spec: Any) -> dict[str, Any]:
    pipeline = parse_pipeline(_raw([stage], **spec))
    create = Create(stage=stage["name"], attempt=2, key="k", inputs={})
    return build_leaf(create, pipeline.spec.stage(stage["name"]), cluster_facts(pipeline, runtime, settings))


@pytest.mark.parametrize("name", _LEAVES)
def test_an_operator_with_other_settings_makes_the_same_job_of_a_running_pipeline(name: str) -> None:
    later = ClusterSettings.model_validate({**SETTINGS.to_values(), **_CHANGED})
    runtime = _compose(_LEAVES[name]).runtime
    assert runtime is not None
    # As the API server gives it back.
    runtime = PipelineRuntime.model_validate(runtime.to_values())
    assert _leaf(_LEAVES[name], runtime, later) == _leaf(_LEAVES[name], runtime, SETTINGS)
    # Each of them would have changed it.
    assert set(_CHANGED) == {field.alias for field in WorkloadSettings.model_fields.values()}
    assert _leaf(_LEAVES[name], PipelineRuntime(), later) != _leaf(_LEAVES[name], PipelineRuntime(), SETTINGS)


def test_a_pipeline_that_began_without_an_environment_gets_none_later() -> None:
    runtime = _compose().runtime
    assert runtime is not None
    later = ClusterSettings.model_validate({**SETTINGS.to_values(), **_CHANGED})
    pipeline = parse_pipeline(_raw([{"name": "base"}]))
    assert cluster_facts(pipeline, runtime, later).settings.environment is None


def test_accounts_and_pull_secrets_are_those_of_the_release_that_there_is() -> None:
    runtime = _compose().runtime
    assert runtime is not None
    accounts = {"serviceAccounts": {"trainer": "t2", "rayHead": "h2", "rayWorker": "w2"}}
    later = ClusterSettings.model_validate({**SETTINGS.to_values(), **accounts})
    pod = _leaf({"name": "base"}, runtime, later)["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "t2"


def test_a_pipeline_of_an_operator_that_froze_less_gets_todays_settings() -> None:
    older = PipelineRuntime(code_digest="sha256:c", image_digests={"trainer": "r/trainer:2"})
    later = ClusterSettings.model_validate({**SETTINGS.to_values(), **_CHANGED})
    assert _leaf({"name": "base"}, older, later)["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "other"


def test_what_a_newer_operator_froze_beside_is_left_out_after_a_rollback() -> None:
    frozen = {**SETTINGS.to_frozen(), "runAsUser": 7, "ofTomorrow": 1, "pods": {"job": {"ofTomorrow": 2}}}
    settings = SETTINGS.thawed(frozen)
    assert settings.run_as_user == 7
    assert settings.store == SETTINGS.store


def test_the_queue_of_the_pipeline_goes_before_that_of_the_operator() -> None:
    label = "kueue.x-k8s.io/queue-name"
    queued = SETTINGS.model_copy(update={"queue_name": "training"})
    runtime = _compose(settings=queued).runtime
    assert runtime is not None
    assert _leaf({"name": "base"}, runtime, queued)["metadata"]["labels"][label] == "training"
    own = _leaf({"name": "base"}, runtime, queued, queueName="urgent")
    assert own["metadata"]["labels"][label] == "urgent"
    # The operator may be given another one meanwhile, or none.
    assert _leaf({"name": "base"}, runtime, SETTINGS)["metadata"]["labels"][label] == "training"
    assert label not in _leaf({"name": "base"}, PipelineRuntime(), SETTINGS)["metadata"]["labels"]
