"""Two replicas and one Lease: never two at work, and the standby takes over."""

from __future__ import annotations

from pathlib import Path

import pytest

from mimo_vl.storage.store import store_for_uri
from operators.mimo_pipeline.kubernetes.cluster import ApiError
from operators.mimo_pipeline.kubernetes.lease import LeaseHolder
from tests.fakes.cluster import FakeCluster


class Replicas:
    def __init__(self, path: Path) -> None:
        self.cluster = FakeCluster(store=store_for_uri(path.as_uri()))
        self.now_s = 0.0
        self.first, self.second = self.replica("first"), self.replica("second")

    def replica(self, identity: str, duration_s: int = 15) -> LeaseHolder:
        return LeaseHolder(
            api=self.cluster,
            namespace="mimo",
            identity=identity,
            duration_s=duration_s,
            clock=lambda: self.now_s,
            now=lambda: self.cluster.now,
        )


@pytest.fixture
def replicas(tmp_path: Path) -> Replicas:
    return Replicas(tmp_path)


def test_one_of_two_holds_it(replicas: Replicas) -> None:
    assert replicas.first.try_once()
    assert not replicas.second.try_once()


def test_the_standby_takes_over_only_after_it_did_not_change_for_its_duration(replicas: Replicas) -> None:
    replicas.first.try_once()
    replicas.second.try_once()
    replicas.now_s = 14.0
    assert not replicas.second.try_once()
    replicas.now_s = 15.5
    assert replicas.second.try_once()
    # The first comes back: it learns that it lost.
    assert not replicas.first.try_once()


def test_the_duration_is_that_of_the_holder_also_for_a_standby_with_another_setting(replicas: Replicas) -> None:
    holder = replicas.replica("patient", duration_s=60)
    assert holder.try_once()
    assert not replicas.second.try_once()
    replicas.now_s = 41.0
    assert holder.is_lost()
    assert not replicas.second.try_once()
    replicas.now_s = 60.5
    assert replicas.second.try_once()


def test_a_renewed_lease_is_never_taken(replicas: Replicas) -> None:
    replicas.first.try_once()
    for _ in range(10):
        replicas.now_s += 5.0
        assert replicas.first.try_once()
        assert not replicas.second.try_once()


def test_a_holder_without_answer_gives_up_before_another_may_begin(replicas: Replicas) -> None:
    replicas.first.try_once()
    replicas.second.try_once()
    replicas.now_s = 9.0
    replicas.cluster.failures.append(("get", "Lease", ApiError(0, "Unreachable", "")))
    assert replicas.first.try_once()
    replicas.now_s = 10.5
    replicas.cluster.failures.append(("get", "Lease", ApiError(0, "Unreachable", "")))
    assert not replicas.first.try_once()
    assert replicas.first.is_lost()
    assert not replicas.second.try_once()


def test_of_two_that_try_at_once_one_wins(replicas: Replicas) -> None:
    replicas.first.try_once()
    replicas.second.try_once()
    replicas.now_s = 20.0
    replicas.cluster.failures.append(("replace", "Lease", ApiError(409, "Conflict", "modified")))
    assert not replicas.second.try_once()


def test_a_released_lease_is_free_at_once(replicas: Replicas) -> None:
    replicas.first.try_once()
    assert not replicas.second.try_once()
    replicas.first.release()
    assert replicas.second.try_once()


def test_without_the_lease_of_a_release_nobody_works(replicas: Replicas, caplog: pytest.LogCaptureFixture) -> None:
    assert replicas.first.try_once()
    del replicas.cluster.objects["Lease", "mimo", replicas.first.name]
    assert not replicas.first.try_once()
    assert not replicas.second.try_once()
    assert "no Lease mimo/mimo-operator: it comes with the release" in caplog.text


def test_a_lease_loop_that_hangs_shows_in_its_age(replicas: Replicas) -> None:
    replicas.first.try_once()
    replicas.now_s = 42.0
    assert replicas.first.age_s() == 42.0
