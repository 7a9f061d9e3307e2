"""Values that cannot work are refused, with the value, what is wanted, and the way out."""

from __future__ import annotations

import pytest

from tests.charts.helm import HelmError, render

_EXTERNAL = 'objectStore.mode="external"'
_ENDPOINT = 'objectStore.endpoint="s3.example.com"'
_SECRET = 'objectStore.existingSecret="mimo-store"'


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("operator.replica=2",), "at '/operator': additional properties 'replica' not allowed"),
        (("networkPolicy={}",), "additional properties 'networkPolicy' not allowed"),
        (("operator.runAsUser=0",), "at '/operator/runAsUser': minimum: got 0, want 1"),
        (('operator.image.tag="latest"',), "at '/operator/image/tag'"),
        (('workloads.pods.job={"hostPath":"/"}',), "additional properties 'hostPath' not allowed"),
        (('workloads.pods.pytorch.env={"LD_PRELOAD":"x.so"}',), "LD_PRELOAD"),
        (('workloads.pods.pytorch.shmSize="1 GB"',), "at '/workloads/pods/pytorch/shmSize'"),
        (('objectStore.mode="gcs"',), "at '/objectStore/mode': value must be one of 'minio', 'external'"),
        (('objectStore.bucket="ab"',), "at '/objectStore/bucket'"),
        (('objectStore.endpoint="https://s3.example.com"',), "at '/objectStore/endpoint'"),
        ((_EXTERNAL, _ENDPOINT), 'objectStore.existingSecret is "" with objectStore.mode=external'),
        ((_EXTERNAL, _SECRET), 'objectStore.endpoint is "" with objectStore.mode=external'),
        ((_ENDPOINT,), 'objectStore.endpoint is "s3.example.com" with objectStore.mode=minio'),
        (('mlflow.externalUri="http://mlflow.example.com"',), "mlflow.enabled=false to use a server of your own"),
        (("mlflow.replicas=3",), "mlflow.replicas is 3 with SQLite"),
        (
            ("mlflow.replicas=2", 'mlflow.backendStore.existingSecret="database"'),
            "mlflow.persistence.accessMode is ReadWriteOnce with mlflow.replicas=2; wanted ReadWriteMany",
        ),
        (("ingress.enabled=true",), 'ingress.host is "" with ingress.enabled=true'),
        (("ingress.enabled=true", "mlflow.enabled=false"), "there is nothing to route to"),
    ],
)
def test_impossible_values_are_refused(settings: tuple[str, ...], message: str) -> None:
    with pytest.raises(HelmError) as refused:
        render("default", *settings)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("present", "kind", "command"),
    [
        (
            "ray.io/v1/RayJob",
            "kubeflow.org/v1 PyTorchJob",
            "kubectl apply --server-side -k "
            '"github.com/kubeflow/training-operator.git/manifests/overlays/standalone?ref=v1.9.4"',
        ),
        (
            "kubeflow.org/v1/PyTorchJob",
            "ray.io/v1 RayJob",
            'kubectl apply --server-side -k "github.com/ray-project/kuberay/ray-operator/config/default?ref=v1.6.2"',
        ),
    ],
)
def test_a_missing_prerequisite_is_named_with_its_command(present: str, kind: str, command: str) -> None:
    with pytest.raises(HelmError) as refused:
        render("default", api_versions=(present,))
    assert f"the cluster has no {kind}" in str(refused.value)
    assert command in str(refused.value)


def test_the_check_of_prerequisites_can_be_turned_off() -> None:
    assert len(render("default", "prerequisites.check=false", api_versions=())) == len(render())
