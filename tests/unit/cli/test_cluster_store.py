"""How a store inside a cluster is reached: whose keys, which address, and what a refusal says."""

from __future__ import annotations

import pytest

from jobs import cluster_store
from jobs.cluster_store import open_cluster_store
from mimo_vl.errors import ConfigError, InputError
from operators.mimo_pipeline.api import StoreSettings
from operators.mimo_pipeline.cluster_control import parse_object
from tests.fakes.pipeline_client import FakePipelineClient, cluster_object
from tests.fakes.pipelines import chain, started

_MINIO = {
    "uri": "s3://mimo/runs-of-us",
    "endpoint": "mimo-minio.mlops.svc:9000",
    "region": "us-east-1",
    "secure": False,
}
_SETTINGS = "store:\n  uri: s3://mimo\n  endpoint: mimo-minio.mlops.svc:9000\n  secure: false\n  secret: mimo-store\n"
_KEYS = {"AWS_ACCESS_KEY_ID": "stages", "AWS_SECRET_ACCESS_KEY": "very-secret"}


@pytest.fixture
def client(monkeypatch) -> FakePipelineClient:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    made = FakePipelineClient(cluster_object(chain(), started(chain())))
    made.objects["demo"]["status"]["runtime"] = {"config": {"storage": _MINIO}}
    made.operator_settings = _SETTINGS
    made.secrets = {"mimo-store": _KEYS}
    return made


@pytest.fixture
def opened(monkeypatch) -> list[tuple]:
    """What a store was opened with."""
    calls: list[tuple] = []

    def store_for_uri(uri, storage, credentials):
        calls.append((uri, storage.endpoint, storage.secure, credentials.access_key if credentials else None))

    monkeypatch.setattr(cluster_store, "store_for_uri", store_for_uri)
    return calls


def _open(client: FakePipelineClient) -> None:
    with open_cluster_store(client, parse_object(client.get("demo"))):
        pass


def test_a_service_of_the_cluster_is_reached_through_a_forwarded_port_with_the_keys_of_the_secret(client, opened):
    _open(client)
    assert opened == [("s3://mimo/runs-of-us", "127.0.0.1:40000", False, "stages")]
    assert client.forwarded == [("mimo-minio", "mlops", 9000)]
    assert client.selectors == ["app.kubernetes.io/name=mimo-pipeline,app.kubernetes.io/component=operator"]


def test_keys_and_address_of_the_environment_go_first(client, opened, monkeypatch) -> None:
    for name, value in _KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://s3.example.org")
    client.secrets = {}
    _open(client)
    assert opened == [("s3://mimo/runs-of-us", "s3.example.org", True, None)]
    assert client.forwarded == []


def test_a_pod_reaches_the_service_itself(client, opened, monkeypatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    _open(client)
    assert opened == [("s3://mimo/runs-of-us", "mimo-minio.mlops.svc:9000", False, "stages")]


def test_a_store_outside_of_the_cluster_is_reached_by_its_own_address(client, opened) -> None:
    outside = {**_MINIO, "endpoint": "s3.eu-central-1.amazonaws.com", "secure": True}
    client.objects["demo"]["status"]["runtime"] = {"config": {"storage": outside}}
    _open(client)
    assert opened == [("s3://mimo/runs-of-us", "s3.eu-central-1.amazonaws.com", True, "stages")]


def test_a_pipeline_with_a_store_of_its_own_has_its_own_secret(client, opened) -> None:
    store = StoreSettings(uri="s3://own", endpoint="s3.example.org", secret="own-keys")
    spec = chain(storage=store)
    client.objects["demo"]["spec"] = spec.to_values()
    client.objects["demo"]["status"]["runtime"] = {}
    client.secrets["own-keys"] = {**_KEYS, "AWS_ACCESS_KEY_ID": "own"}
    _open(client)
    assert opened == [("s3://own", "s3.example.org", True, "own")]


def test_a_refusal_says_what_is_refused_and_the_other_way(client, opened) -> None:
    client.secrets = {}
    with pytest.raises(ConfigError) as refused:
        _open(client)
    text = str(refused.value)
    assert 'keys of the store: the cluster refuses: secrets "mimo-store" is forbidden' in text
    assert "ask for a Role that allows it" in text
    assert "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in text
    assert refused.value.exit_code == 2


def test_a_secret_without_the_keys_names_them(client, opened) -> None:
    client.secrets = {"mimo-store": {"AWS_ACCESS_KEY_ID": "stages"}}
    with pytest.raises(ConfigError, match="Secret mimo-store: no AWS_SECRET_ACCESS_KEY in it"):
        _open(client)


def test_a_certificate_that_cannot_be_valid_is_told_before_it_fails(client, opened) -> None:
    client.objects["demo"]["status"]["runtime"] = {"config": {"storage": {**_MINIO, "secure": True}}}
    with pytest.raises(ConfigError, match="certificate is not valid for a forwarded port; set AWS_ENDPOINT_URL"):
        _open(client)


def test_an_unknown_store_is_told(client, opened) -> None:
    client.objects["demo"]["status"]["runtime"] = {}
    client.operator_settings = ""
    with pytest.raises(InputError, match="no operator's settings in namespace train"):
        _open(client)


def test_the_keys_are_in_no_message(client, opened, monkeypatch) -> None:
    def forward(*_):
        raise ConfigError("the cluster refuses to forward a port")

    monkeypatch.setattr(client, "forward", forward)
    with pytest.raises(ConfigError, match=r"port of mimo-minio\.mlops\.svc:9000: the cluster refuses") as refused:
        _open(client)
    assert "very-secret" not in str(refused.value)
