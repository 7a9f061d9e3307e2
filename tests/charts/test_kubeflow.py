"""The switch for Kubeflow Pipelines: off it leaves nothing; on it tells the operator, opens a flow, mounts a token."""

from __future__ import annotations

import pytest
import yaml

from operators.mimo_pipeline.cluster_settings import ClusterSettings, KubeflowSettings
from tests.charts.helm import (
    PROFILES,
    HelmError,
    Manifest,
    named,
    of_kind,
    operator_settings,
    pod_templates,
    render,
)

_ON = "kubeflow.enabled=true"
_TOKEN = 'kubeflow.tokenSecret="kfp-token"'
_ACCOUNTS = 'kubeflow.stepAccounts=[{"name":"pipeline-runner","namespace":"kubeflow"}]'


def _settings(*settings: str, profile: str = "default") -> KubeflowSettings | None:
    text = operator_settings(render(profile, *settings))
    return ClusterSettings.model_validate(yaml.safe_load(text)).kubeflow


def _egress(*settings: str) -> list[Manifest]:
    policy = named(render("default", *settings), "NetworkPolicy", "mimo-pipeline-operator")
    return policy["spec"]["egress"]


@pytest.mark.parametrize("profile", PROFILES)
def test_it_is_off_by_default_and_leaves_nothing(profile: str) -> None:
    assert _settings(profile=profile) is None
    assert "kubeflow-steps" not in yaml.safe_dump_all(render(profile))


def test_the_operator_is_told_where_the_runs_shall_be_and_which_image_their_steps_have() -> None:
    mirror = 'global.imageRegistry="mirror.example/project"'
    ui = 'kubeflow.ui="https://kubeflow.example.com/pipeline"'
    found = _settings(_ON, _TOKEN, mirror, ui, 'kubeflow.namespace="team"', 'kubeflow.serviceAccount="steps"')
    assert found == KubeflowSettings(
        endpoint="http://ml-pipeline.kubeflow.svc:8888",
        image="mirror.example/project/mimo-kfp:0.1.0",
        experiment="mimo-vl",
        namespace="team",
        service_account="steps",
        token_file="/etc/mimo-kubeflow/token",
        ui="https://kubeflow.example.com/pipeline",
    )


def test_the_token_is_mounted_where_the_operator_reads_it_and_only_then() -> None:
    pod = pod_templates(render("default", _ON, _TOKEN))["Deployment/mimo-pipeline-operator"]["spec"]
    [volume] = [v for v in pod["volumes"] if v["name"] == "kubeflow-token"]
    assert volume["secret"] == {"secretName": "kfp-token", "items": [{"key": "token", "path": "token"}]}
    [mount] = [m for m in pod["containers"][0]["volumeMounts"] if m["name"] == "kubeflow-token"]
    assert mount == {"name": "kubeflow-token", "mountPath": "/etc/mimo-kubeflow", "readOnly": True}
    without = pod_templates(render("default", _ON))["Deployment/mimo-pipeline-operator"]["spec"]
    assert "kubeflow-token" not in [v["name"] for v in without["volumes"]]
    found = _settings(_ON)
    assert found is not None
    assert found.token_file == ""


@pytest.mark.parametrize(
    ("endpoint", "namespace", "port"),
    [
        ("http://ml-pipeline.kubeflow.svc:8888", "kubeflow", 8888),
        ("http://ml-pipeline.pipelines.svc.cluster.local:8888", "pipelines", 8888),
        ("https://pipelines.example.com", None, 443),
    ],
)
def test_the_operator_may_reach_the_api_and_nothing_else_more(endpoint, namespace, port) -> None:
    before = _egress()
    [added] = [rule for rule in _egress(_ON, f'kubeflow.endpoint="{endpoint}"') if rule not in before]
    assert added["ports"] == [{"protocol": "TCP", "port": port}]
    [peer] = added["to"]
    if namespace is None:
        assert peer == {"ipBlock": {"cidr": "0.0.0.0/0"}}
    else:
        [expression] = peer["namespaceSelector"]["matchExpressions"]
        assert expression["values"] == [namespace]


def test_the_accounts_of_steps_may_steer_pipelines_and_read_logs_and_no_more() -> None:
    manifests = render("default", _ACCOUNTS, 'pipelineNamespaces=["team-a","team-b"]')
    name = "mimo-pipeline-kubeflow-steps"
    roles = [m for m in of_kind(manifests, "Role") if m["metadata"]["name"] == name]
    assert [role["metadata"]["namespace"] for role in roles] == ["team-a", "team-b"]
    verbs = {(r["resources"][0], tuple(r["verbs"])) for role in roles for r in role["rules"]}
    assert verbs == {
        ("mimopipelines", ("create", "get", "patch")),
        ("pods", ("list",)),
        ("pods/log", ("get",)),
    }
    bindings = [m for m in of_kind(manifests, "RoleBinding") if m["metadata"]["name"] == name]
    assert len(bindings) == 2
    assert bindings[0]["subjects"] == [{"kind": "ServiceAccount", "name": "pipeline-runner", "namespace": "kubeflow"}]


@pytest.mark.parametrize(
    "wrong",
    [
        'kubeflow.endpoint="ml-pipeline:8888"',
        'kubeflow.ui="kubeflow"',
        'kubeflow.stepAccounts=[{"name":"x"}]',
        "kubeflow.on=true",
    ],
)
def test_impossible_values_are_refused(wrong: str) -> None:
    with pytest.raises(HelmError, match="kubeflow"):
        render("default", wrong)
