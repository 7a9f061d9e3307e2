"""NOTES.txt names the objects of the release, warns of what is unsafe, and shows no secret."""

from __future__ import annotations

import base64

import pytest

from tests.charts.helm import notes, of_kind, render


def test_notes_give_the_next_commands() -> None:
    text = notes()
    for command in (
        "kubectl --namespace mimo rollout status deployment/mimo-pipeline-operator",
        "helm test mimo-pipeline --namespace mimo",
        "kubectl --namespace mimo apply -f examples/tiny.yaml",
        "mimo status --pipeline tiny --namespace mimo",
        "kubectl --namespace mimo port-forward service/mimo-pipeline-minio 9000",
        "kubectl --namespace mimo port-forward service/mimo-pipeline-mlflow 5000",
    ):
        assert command in text
    assert "WARNING" not in text


@pytest.mark.parametrize(
    ("setting", "warning"),
    [
        ("minio.persistence.enabled=false", "every artifact is lost with the MinIO pod"),
        ("mlflow.persistence.enabled=false", "registered models are lost"),
        ("networkPolicies.enabled=false", "any pod of the cluster reaches"),
        ("monitoring.enabled=true", "no PodMonitor was made"),
    ],
)
def test_notes_warn_of_unsafe_values(setting: str, warning: str) -> None:
    assert warning in notes("default", setting)


def test_notes_say_that_stages_run_from_a_mounted_environment() -> None:
    assert "claim mimo-environment, mounted at /var/lib/mimo-devcluster/env" in notes("devcluster")


def test_notes_ask_for_the_secret_of_another_namespace() -> None:
    text = notes("default", 'pipelineNamespaces=["vision"]')
    assert "Namespace vision needs the Secret mimo-pipeline-store" in text


def test_notes_show_no_generated_secret() -> None:
    values = [v for m in of_kind(render(), "Secret") for v in m["data"].values()]
    text = notes()
    assert len(values) == 4
    assert not any(v in text or base64.b64decode(v).decode() in text for v in values)
