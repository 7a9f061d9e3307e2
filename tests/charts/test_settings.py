"""The operator can read what the chart tells it, and every image and name in it is the chart's."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from jobs.cluster_check import CheckRequest, fit_problems
from jobs.cluster_check import render as render_children
from operators.mimo_pipeline.api import PodSettings
from operators.mimo_pipeline.builders.pod_settings import PodKind, check_settings
from operators.mimo_pipeline.chart_images import chart_images
from operators.mimo_pipeline.cluster_settings import ClusterSettings, PodDefaults
from operators.mimo_pipeline.generate import stale_files
from operators.mimo_pipeline.kubernetes.permissions import OPERATOR_RULES, PIPELINE_RULES
from tests.charts.helm import (
    CHART,
    NAMESPACE,
    PROFILES,
    HelmError,
    named,
    of_kind,
    operator_settings,
    pod_templates,
    render,
)

_MIRROR = "mirror.example/project"


def _settings(profile: str, *settings: str) -> ClusterSettings:
    return ClusterSettings.model_validate(yaml.safe_load(operator_settings(render(profile, *settings))))


def test_the_operator_is_told_the_page_of_a_pipeline() -> None:
    link = "https://console.example.com/#/{namespace}/{pipeline}"
    assert _settings("default", f'operator.clusterLink="{link}"').cluster_link == link
    assert _settings("default").cluster_link == ""
    with pytest.raises(HelmError, match="clusterLink"):
        render("default", 'operator.clusterLink="https://console.example.com/{name}"')


@pytest.mark.parametrize("profile", PROFILES)
def test_the_operator_accepts_the_settings_of_a_profile(profile: str) -> None:
    settings = _settings(profile)
    for field in PodDefaults.model_fields:
        check_settings(getattr(settings.pods, field), f"pods.{field}")
    accounts = {m["metadata"]["name"] for m in of_kind(render(profile), "ServiceAccount")}
    assert set(settings.service_accounts.model_dump().values()) <= accounts


# (profile of the chart, profile of the pipeline that it is made for)
_MADE_FOR = (("tiny", "tiny"), ("devcluster", "tiny"), ("production-7b", "mimo_vl_7b"), ("rdma-ipclock", "mimo_vl_7b"))


@pytest.mark.parametrize(("profile", "pipeline"), _MADE_FOR)
def test_pods_of_a_profile_have_a_gpu_and_memory_for_every_rank(profile: str, pipeline: str, tmp_path: Path) -> None:
    path = tmp_path / "operator.yaml"
    path.write_text(operator_settings(render(profile)))
    request = CheckRequest(profile=pipeline, settings_path=path)
    rendered = render_children(request)
    assert fit_problems(rendered, request.gpu_memory_gib) == []
    gpus = {row.stage: row.group.num_gpus for row in rendered.rows if row.kind == "Job"}
    wanted = int(pipeline == "mimo_vl_7b")
    assert (gpus["curate-rl"], gpus["evaluate"], gpus["curate"]) == (wanted, wanted, 0)


def test_store_and_tracking_are_the_services_of_the_release() -> None:
    settings = _settings("default")
    assert settings.store.uri == "s3://mimo"
    assert settings.store.endpoint == "mimo-pipeline-minio.mimo.svc:9000"
    assert settings.store.secure is False
    assert settings.tracking_uri == "http://mimo-pipeline-mlflow.mimo.svc:5000"
    secret = named(render(), "Secret", settings.store.secret)
    assert sorted(secret["data"]) == ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]


def test_mlflow_answers_under_the_name_that_stages_use() -> None:
    template = pod_templates(render())["Deployment/mimo-pipeline-mlflow"]
    env = {e["name"]: e.get("value") for e in template["spec"]["containers"][0]["env"]}
    host = _settings("default").tracking_uri.removeprefix("http://")
    assert host in env["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")


def test_an_external_store_brings_no_minio_and_no_setup() -> None:
    settings = _settings("production-7b")
    assert settings.store.endpoint == "s3.us-east-1.amazonaws.com"
    assert settings.store.secure is True
    assert settings.store.secret == "mimo-store"
    assert of_kind(render("production-7b"), "Secret") == []
    assert not any("minio" in name or "setup" in name for name in pod_templates(render("production-7b")))


def test_only_the_overlay_for_rdma_locks_memory() -> None:
    assert [name for name in PROFILES if _settings(name).lock_memory] == ["rdma-ipclock"]


def test_jobs_of_the_production_profile_carry_the_label_of_a_queue(tmp_path: Path) -> None:
    settings = _settings("production-7b")
    assert settings.queue_name == "training"
    assert _settings("production-7b", 'workloads.queueName=""').queue_name == _settings("default").queue_name == ""
    (tmp_path / "operator.yaml").write_text(operator_settings(render("production-7b")), encoding="utf-8")
    rendered = render_children(CheckRequest(profile="mimo_vl_7b", settings_path=tmp_path / "operator.yaml"))
    jobs = [o for o in rendered.objects if o["kind"] != "ConfigMap"]
    assert len(jobs) == len(rendered.spec.stages) > 8
    assert {job["metadata"]["labels"].get("kueue.x-k8s.io/queue-name") for job in jobs} == {"training"}


def test_a_queue_that_no_label_can_name_is_refused() -> None:
    with pytest.raises(HelmError, match="queueName"):
        render("default", 'workloads.queueName="no queue"')


@pytest.mark.parametrize("profile", PROFILES)
def test_one_registry_value_moves_every_image(profile: str) -> None:
    mirror = (f'global.imageRegistry="{_MIRROR}"', 'global.imagePullSecrets=[{"name":"pull"}]')
    settings = _settings(profile, *mirror)
    templates = pod_templates(render(profile, *mirror))
    images = [c["image"] for t in templates.values() for c in t["spec"]["containers"]]
    images += [settings.images.trainer.reference, settings.images.rollout.reference]
    assert len(images) >= 6
    assert [image for image in images if not image.startswith(f"{_MIRROR}/")] == []
    assert settings.images.pull_secrets == ("pull",)
    assert {json.dumps(t["spec"]["imagePullSecrets"]) for t in templates.values()} == {'[{"name": "pull"}]'}


def test_a_digest_wins_over_the_tag() -> None:
    digest = "sha256:" + "a" * 64
    settings = _settings("default", f'workloads.trainerImage.digest="{digest}"')
    assert settings.images.trainer.reference == f"mimo-trainer@{digest}"


def test_the_image_list_is_what_is_rendered_and_what_the_operator_stamps() -> None:
    settings = _settings("default", "kubeflow.enabled=true")
    assert settings.kubeflow is not None
    stamped = {settings.images.trainer.reference, settings.images.rollout.reference, settings.kubeflow.image}
    rendered = {c["image"] for t in pod_templates(render()).values() for c in t["spec"]["containers"]}
    assert set(chart_images()) == rendered | stamped
    listed = [line for line in (CHART / "images.txt").read_text().splitlines() if not line.startswith("#")]
    assert listed[: len(chart_images())] == chart_images()
    assert "alpine:3.10" in listed, "the init container of PyTorchJob workers"


def test_generated_files_of_the_chart_are_up_to_date() -> None:
    assert not stale_files()


def test_the_roles_are_the_verbs_that_the_operator_uses() -> None:
    role = named(render(), "Role", "mimo-pipeline-operator")
    lease = named(render(), "Role", "mimo-pipeline-operator-lease")
    assert role["rules"] == [rule.to_role_rule() for rule in PIPELINE_RULES]
    assert lease["rules"] == [rule.to_role_rule() for rule in OPERATOR_RULES]
    assert "secrets" not in {resource for rule in role["rules"] for resource in rule["resources"]}


def test_pipeline_namespaces_get_accounts_roles_and_policies() -> None:
    manifests = render("default", 'pipelineNamespaces=["vision","speech"]')
    for kind, num_objects in (("Role", 1), ("RoleBinding", 1), ("ServiceAccount", 3), ("NetworkPolicy", 6)):
        for namespace in ("vision", "speech"):
            found = [m for m in of_kind(manifests, kind) if m["metadata"].get("namespace") == namespace]
            assert len(found) == num_objects, (kind, namespace)
    for binding in of_kind(manifests, "RoleBinding"):
        assert [s["namespace"] for s in binding["subjects"]] == [NAMESPACE]
    assert _settings("default", 'pipelineNamespaces=["vision","speech"]').pipeline_namespaces == ("vision", "speech")


def test_the_schema_of_pod_settings_is_that_of_the_operator() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    ours = PodSettings.model_json_schema(by_alias=True)
    theirs = schema["definitions"]["podSettings"]["properties"]
    assert set(theirs) == set(ours["properties"])
    assert theirs["requests"] == theirs["limits"] == {"$ref": "#/definitions/quantities"}
    quantity = ours["properties"]["shmSize"]["anyOf"][0]
    assert schema["definitions"]["quantity"] == quantity
    [tuning] = re.findall(r"\^\(NCCL[^\"]+", json.dumps(ours["properties"]["env"]))
    assert theirs["env"]["propertyNames"]["pattern"] == tuning
    pods = schema["properties"]["workloads"]["properties"]["pods"]["properties"]
    assert set(pods) == {field.alias for field in PodDefaults.model_fields.values()}


def test_policies_name_every_kind_of_pod_that_the_operator_makes() -> None:
    text = json.dumps(of_kind(render(), "NetworkPolicy"))
    assert [kind for kind in PodKind if f'"{kind}"' not in text] == []


def test_every_value_of_the_chart_has_a_place_in_the_schema_and_nothing_else_has() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    assert set(schema["properties"]) == set(values)
    for name, part in schema["properties"].items():
        if part.get("type") == "object":
            assert set(part["properties"]) == set(values[name]), name
