"""Which kinds of jobs a cluster has, also while it does not answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from mimo_vl.storage.store import store_for_uri
from operators.mimo_pipeline.kubernetes.cluster import ApiError
from operators.mimo_pipeline.kubernetes.discovery import Discovery
from operators.mimo_pipeline.kubernetes.resources import JOBS, RAY_JOBS, Resource
from tests.fakes.cluster import FakeCluster


class SilentCluster(FakeCluster):
    is_silent = False
    num_asked = 0

    def is_served(self, resource: Resource) -> bool:
        self.num_asked += 1
        if self.is_silent:
            raise ApiError(0, "Unreachable", "ReadTimeoutError")
        return super().is_served(resource)


class Cluster:
    def __init__(self, path: Path) -> None:
        self.api = SilentCluster(store=store_for_uri(path.as_uri()), served={JOBS})
        self.now_s = 0.0
        self.discovery = Discovery(self.api, clock=lambda: self.now_s)


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


def test_what_is_known_stays_while_the_api_does_not_answer(cluster: Cluster) -> None:
    assert cluster.discovery.served() == {JOBS}
    cluster.api.is_silent, cluster.now_s = True, 60.0
    assert cluster.discovery.served() == {JOBS}
    asked = cluster.api.num_asked
    # Not asked again at once.
    assert cluster.discovery.served() == {JOBS}
    assert cluster.api.num_asked == asked
    cluster.api.is_silent, cluster.now_s = False, 120.0
    cluster.api.served = {JOBS, RAY_JOBS}
    assert cluster.discovery.served() == {JOBS, RAY_JOBS}


def test_no_answer_at_all_is_an_error(cluster: Cluster) -> None:
    cluster.api.is_silent = True
    with pytest.raises(ApiError):
        cluster.discovery.served()
    cluster.api.is_silent = False
    assert cluster.discovery.served() == {JOBS}
