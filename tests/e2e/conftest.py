"""Which cluster the end-to-end tests use: $KUBECONFIG, else the development cluster of `make cluster`.

Without KUBECONFIG and without that cluster the tests skip; a cluster that was asked for by KUBECONFIG must be there.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

from tests.e2e.kube import Cluster, CommandError


@pytest.fixture(scope="session")
def cluster_root() -> Path:
    """Folder of the development cluster."""
    return Path(os.environ.get("MIMO_CLUSTER_ROOT", "/var/lib/mimo-devcluster"))


@pytest.fixture(scope="session")
def kubeconfig(cluster_root: Path) -> Path:
    path = Path(os.environ.get("KUBECONFIG") or cluster_root / "kubeconfig/admin.conf")
    if not path.is_file():
        _without_cluster(f"no cluster: {path} does not exist; run `make cluster` or set KUBECONFIG")
    return path


@pytest.fixture(scope="session")
def cluster(kubeconfig: Path, cluster_root: Path) -> Cluster:
    bin_dir = None if shutil.which("helm") else cluster_root / "bin"
    found = Cluster(kubeconfig, bin_dir, is_development=kubeconfig.is_relative_to(cluster_root))
    try:
        found.kubectl("get", "--raw", "/readyz", timeout_s=20)
    except (CommandError, OSError) as error:
        _without_cluster(f"the cluster of {kubeconfig} does not answer: {error}")
    return found


def _without_cluster(reason: str) -> NoReturn:
    """Who names a cluster wants its answer: a skip would call a dead one good."""
    if os.environ.get("KUBECONFIG"):
        pytest.fail(f"KUBECONFIG={os.environ['KUBECONFIG']}: {reason}")
    pytest.skip(reason)


@pytest.fixture
def devcluster_only(cluster: Cluster) -> None:
    """What only the development cluster can do: kill its processes, compare with what this machine computes."""
    if not cluster.is_development:
        pytest.skip(f"needs the development cluster; KUBECONFIG is {cluster.kubeconfig}")
