"""All pods are admitted by `restricted` Pod Security, see only the Secrets they need, and never in arguments."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.charts.helm import PROFILES, named, of_kind, pod_templates, render
from tests.fakes.pod_security import restricted_violations

_ROOT_SECRET = "mimo-pipeline-minio-root"


@pytest.mark.parametrize("profile", PROFILES)
def test_every_pod_is_admitted_by_restricted_pod_security(profile: str) -> None:
    templates = pod_templates(render(profile))
    assert len(templates) >= 4
    assert {name: found for name, template in templates.items() if (found := restricted_violations(template))} == {}


@pytest.mark.parametrize("profile", PROFILES)
def test_every_container_has_a_read_only_root_requests_and_a_memory_limit(profile: str) -> None:
    for name, container in _containers(profile):
        assert container["securityContext"]["readOnlyRootFilesystem"] is True, name
        assert {"cpu", "memory"} <= set(container["resources"]["requests"]), name
        assert "memory" in container["resources"]["limits"], name
        assert not container["image"].endswith(":latest"), name


def test_only_the_operator_and_the_check_before_uninstall_get_a_token() -> None:
    mounted = {name: t["spec"]["automountServiceAccountToken"] for name, t in pod_templates(render()).items()}
    assert sorted(name for name, is_mounted in mounted.items() if is_mounted) == [
        "Deployment/mimo-pipeline-operator",
        "Job/mimo-pipeline-uninstall-check",
    ]
    accounts = of_kind(render(), "ServiceAccount")
    assert len(accounts) == 7
    assert [a["metadata"]["name"] for a in accounts if a["automountServiceAccountToken"]] == []


def test_every_long_lived_pod_is_probed() -> None:
    deployments = of_kind(render(), "Deployment")
    assert len(deployments) == 3
    for deployment in deployments:
        [container] = deployment["spec"]["template"]["spec"]["containers"]
        assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(container)


def test_generated_secrets_appear_in_no_other_object() -> None:
    # Rendered twice, they would differ: one rendering is looked at.
    manifests = render()
    values = [base64.b64decode(v).decode() for m in of_kind(manifests, "Secret") for v in m["data"].values()]
    assert len(values) == 4
    text = json.dumps([m for m in manifests if m["kind"] != "Secret"])
    assert [value for value in values if len(value) > 20 and value in text] == []
    assert "minioadmin" not in values


def test_generated_secrets_are_long_and_differ() -> None:
    root = named(render(), "Secret", _ROOT_SECRET)["data"]
    stages = named(render(), "Secret", "mimo-pipeline-store")["data"]
    password, key = (base64.b64decode(v) for v in (root["MINIO_ROOT_PASSWORD"], stages["AWS_SECRET_ACCESS_KEY"]))
    assert len(password) == len(key) == 40
    assert password != key
    assert base64.b64decode(stages["AWS_ACCESS_KEY_ID"]) == b"mimo-stages"


@pytest.mark.parametrize("profile", PROFILES)
def test_credentials_come_by_reference_only(profile: str) -> None:
    num_checked = 0
    for name, container in _containers(profile):
        for variable in container.get("env", []):
            if any(word in variable["name"] for word in ("KEY", "SECRET", "PASSWORD", "TOKEN", "ROOT_USER")):
                assert "secretKeyRef" in variable["valueFrom"], (name, variable["name"])
                num_checked += 1
    assert num_checked >= 4


def test_root_of_the_store_is_seen_by_minio_and_its_setup_only() -> None:
    templates = pod_templates(render())
    assert sorted(name for name, t in templates.items() if _ROOT_SECRET in json.dumps(t)) == [
        "Deployment/mimo-pipeline-minio",
        "Job/mimo-pipeline-store-setup",
    ]


def test_a_database_uri_is_never_rendered() -> None:
    template = pod_templates(render("production-7b"))["Deployment/mimo-pipeline-mlflow"]
    [uri] = [e for e in template["spec"]["containers"][0]["env"] if e["name"] == "MLFLOW_BACKEND_STORE_URI"]
    assert uri["valueFrom"]["secretKeyRef"] == {"name": "mimo-mlflow-database", "key": "uri"}


def test_roles_have_no_wildcards() -> None:
    roles = of_kind(render(), "Role") + of_kind(render(), "ClusterRole")
    assert len(roles) == 4
    assert "*" not in json.dumps([role["rules"] for role in roles])


def test_a_single_replica_has_no_disruption_budget() -> None:
    assert of_kind(render(), "PodDisruptionBudget") == []
    assert len(of_kind(render("production-7b"), "PodDisruptionBudget")) == 1


def _containers(profile: str) -> list[tuple[str, dict[str, Any]]]:
    return [(name, c) for name, t in pod_templates(render(profile)).items() for c in t["spec"]["containers"]]
