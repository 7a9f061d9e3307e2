"""A connection to the API server for processes that run in a pod, with the token of the pod's ServiceAccount."""

from __future__ import annotations

from pathlib import Path

from mimo_vl.errors import ConfigError
from operators.mimo_pipeline.kubernetes.api_client import KubernetesPipelineClient, connect

_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def connect_from_anywhere(namespace: str) -> KubernetesPipelineClient:
    """In a pod: its ServiceAccount, `namespace` "" = that of the pod. Elsewhere: the kubeconfig."""
    from kubernetes import client, config

    if not _NAMESPACE_FILE.is_file():
        return connect(kubeconfig=None, context="", namespace=namespace)
    configuration = client.Configuration()
    try:
        config.load_incluster_config(client_configuration=configuration)
    except config.ConfigException as error:
        raise ConfigError(f"the pod has no usable token for the API server: {error}") from error
    # The step asks again by itself; the client must not wait in between.
    configuration.retries = 0
    return KubernetesPipelineClient(client.ApiClient(configuration), namespace or _NAMESPACE_FILE.read_text().strip())
