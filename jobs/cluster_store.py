"""How is the store of a pipeline on a cluster reached from here?

Its keys: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or else the Secret that the pipeline or its operator names.
Its address: AWS_ENDPOINT_URL, or else its own; a Service of the cluster through a forwarded port.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from jobs.cluster_service import needs_forwarding, reached_address
from jobs.run_source import storage_config
from jobs.runtime import has_store_credentials, store_endpoint_url
from mimo_vl.config.storage import StorageConfig
from mimo_vl.errors import ConfigError, InputError
from mimo_vl.storage import ArtifactStore, Credentials, store_for_uri

if TYPE_CHECKING:
    from operators.mimo_pipeline.kubernetes.api_client import PipelineClient
    from operators.mimo_pipeline.local.state import PipelineObject

# What the chart labels the operator's ConfigMap with.
_OPERATOR = "app.kubernetes.io/name=mimo-pipeline,app.kubernetes.io/component=operator"
_SETTINGS = "operator.yaml"
_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_ELSE = (
    "or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_ENDPOINT_URL to a port that you forward, and try again"
)


@dataclass(frozen=True, kw_only=True)
class OpenedStore:
    """`storage` and `credentials` open other artifacts of the same server."""

    store: ArtifactStore
    storage: StorageConfig
    credentials: Credentials | None


@contextmanager
def open_cluster_store(client: PipelineClient, pipeline: PipelineObject) -> Iterator[OpenedStore]:
    """The store, rooted where the pipeline keeps its runs, as long as the block lasts.

    Raises:
        ConfigError: the cluster refuses the Secret or the forwarded port, and says so.
        InputError: the pipeline has no store that could be read from here.
    """
    storage = _storage(client, pipeline)
    if not storage.uri.startswith("s3://"):
        known = storage.uri or f"not known: no operator's settings in namespace {client.namespace}"
        raise InputError(f"{pipeline.metadata.name}: its store is {known}; wanted s3://bucket/prefix in spec.storage")
    credentials = None if has_store_credentials() else _secret_keys(client, pipeline)
    with _reachable(client, storage) as reached:
        yield OpenedStore(
            store=store_for_uri(reached.uri, reached, credentials), storage=reached, credentials=credentials
        )


def _storage(client: PipelineClient, pipeline: PipelineObject) -> StorageConfig:
    """As frozen at the start; before that as the pipeline or its operator says."""
    frozen = storage_config(pipeline)
    if not frozen.uri:
        given = pipeline.spec.storage
        section = given.to_values() if given else _operator_settings(client).get("store", {})
        fields = {name: section[name] for name in ("uri", "endpoint", "region", "secure") if name in section}
        frozen = StorageConfig(kind="s3", **fields)
    return frozen.impatient()


def _secret_keys(client: PipelineClient, pipeline: PipelineObject) -> Credentials:
    given = pipeline.spec.storage
    try:
        name = given.secret if given else str(_operator_settings(client).get("store", {}).get("secret", ""))
        if not name:
            raise ConfigError(
                f"the Secret of the store is not known: no operator's settings in namespace {client.namespace}"
            )
        values = client.secret(name)
    except (ConfigError, InputError) as error:
        raise ConfigError(f"keys of the store: {error}; {_ELSE}") from error
    missing = [key for key in _KEYS if key not in values]
    if missing:
        raise ConfigError(f"Secret {name}: no {' and '.join(missing)} in it; {_ELSE}")
    return Credentials(access_key=values[_KEYS[0]], secret_key=values[_KEYS[1]])


def _operator_settings(client: PipelineClient) -> Mapping[str, Any]:
    import yaml

    for found in client.config_maps(_OPERATOR):
        text = (found.get("data") or {}).get(_SETTINGS)
        if text:
            settings: dict[str, Any] = yaml.safe_load(text)
            return settings
    return {}


def own_address(storage: StorageConfig) -> StorageConfig:
    """AWS_ENDPOINT_URL goes first: a store inside a cluster has another address outside."""
    url = urlsplit(store_endpoint_url())
    return replace(storage, endpoint=url.netloc, secure=url.scheme == "https") if url.netloc else storage


@contextmanager
def _reachable(client: PipelineClient, storage: StorageConfig) -> Iterator[StorageConfig]:
    if store_endpoint_url() or not needs_forwarding(storage.endpoint):
        yield own_address(storage)
        return
    if storage.secure:
        raise ConfigError(
            f"store {storage.endpoint}: its certificate is not valid for a forwarded port; set AWS_ENDPOINT_URL to an "
            "address that it is valid for, and try again"
        )
    with reached_address(client, storage.endpoint, _ELSE) as address:
        yield replace(storage, endpoint=address)
