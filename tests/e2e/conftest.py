"""Which cluster the end-to-end tests use: $KUBECONFIG, else the development cluster of `make cluster`; none = skip."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

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
        pytest.skip(f"no cluster: {path} does not exist; run `make cluster` or set KUBECONFIG")
    return path


@pytest.fixture(scope="session")
def cluster(kubeconfig: Path, cluster_root: Path) -> Cluster:
    bin_dir = None if shutil.which("helm") else cluster_root / "bin"
    found = Cluster(kubeconfig, bin_dir, is_development=kubeconfig.is_relative_to(cluster_root))
    try:
        found.kubectl("get", "--raw", "/readyz", timeout_s=20)
    except (CommandError, OSError) as error:
        pytest.skip(f"the cluster of {kubeconfig} does not answer: {error}")
    return found


@pytest.fixture
def devcluster_only(cluster: Cluster) -> None:
    """What only the development cluster can do: kill its processes, compare with what this machine computes."""
    if not cluster.is_development:
        pytest.skip(f"needs the development cluster; KUBECONFIG is {cluster.kubeconfig}")
