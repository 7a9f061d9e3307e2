"""One release for small pipelines: two replicas of the operator, two namespaces, no tracking server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.kube import Cluster
from tests.e2e.pipelines import Pipelines
from tests.e2e.release import delete_namespaces, install, make_namespace
from tests.e2e.steering.names import NAMESPACE, RELEASE, TEAM


@pytest.fixture(scope="package")
def pipelines(cluster: Cluster) -> Iterator[Pipelines]:
    """In the release's own namespace; the release also serves TEAM."""
    delete_namespaces(cluster, NAMESPACE, TEAM)
    for namespace in (NAMESPACE, TEAM):
        make_namespace(cluster, namespace)
    served = f"pipelineNamespaces={{{NAMESPACE},{TEAM}}}"
    install(
        cluster,
        NAMESPACE,
        *("--set", "mlflow.enabled=false", "--set", "operator.replicas=2", "--set", served),
        release=RELEASE,
    )
    yield Pipelines(cluster, NAMESPACE)
    cluster.helm("uninstall", RELEASE, "-n", NAMESPACE, "--no-hooks")
    delete_namespaces(cluster, NAMESPACE, TEAM, wait=False)
