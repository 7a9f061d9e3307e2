"""The release that the tests of this folder look at: installed, upgraded, removed, and installed again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.kube import Cluster, CommandError
from tests.e2e.lifecycle.drive import NAMESPACE, RELEASE, Life, drive
from tests.e2e.pipelines import Pipelines
from tests.e2e.release import delete_namespaces, explain, make_namespace


@pytest.fixture(scope="package")
def life(cluster: Cluster) -> Iterator[Life]:
    delete_namespaces(cluster, NAMESPACE)
    make_namespace(cluster, NAMESPACE)
    current = Life(Pipelines(cluster, NAMESPACE))
    try:
        drive(current)
        yield current
    except CommandError as error:
        pytest.fail(f"{error}\n{explain(cluster, NAMESPACE)}")
    finally:
        cluster.helm("uninstall", RELEASE, "-n", NAMESPACE, "--no-hooks", "--ignore-not-found")
        delete_namespaces(cluster, NAMESPACE, wait=False)
