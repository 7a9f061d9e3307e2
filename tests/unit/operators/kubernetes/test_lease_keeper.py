"""The lease is renewed to the end, and the process ends in time although the API hangs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mimo_vl.storage.store import store_for_uri
from operators.mimo_pipeline.cluster_settings import ClusterSettings
from operators.mimo_pipeline.kubernetes.lease import (
    CONNECT_LIMIT_S,
    READ_LIMIT_S,
    REQUEST_LIMIT_S,
    LeaseHolder,
)
from operators.mimo_pipeline.kubernetes.lease_keeper import LeaseKeeper
from operators.mimo_pipeline.kubernetes.resources import Resource
from tests.fakes.cluster import FakeCluster

_DEADLINE_S = 10.0


@dataclass
class HangingCluster(FakeCluster):
    """From `hangs` on no request is answered until `answers`."""

    hangs: bool = False
    answers: threading.Event = field(default_factory=threading.Event)
    asked: threading.Event = field(default_factory=threading.Event)

    def get(self, resource: Resource, namespace: str, name: str) -> dict[str, Any]:
        if self.hangs:
            self.asked.set()
            self.answers.wait(_DEADLINE_S)
        return super().get(resource, namespace, name)


class Replica:
    def __init__(self, path: Path) -> None:
        self.cluster = HangingCluster(store=store_for_uri(path.as_uri()))
        self.now_s = 0.0
        self.lost = threading.Event()
        self.lease = LeaseHolder(
            api=self.cluster,
            namespace="mimo",
            identity="first",
            duration_s=ClusterSettings.model_fields["lease_duration_s"].default,
            clock=lambda: self.now_s,
            now=lambda: self.cluster.now,
        )
        self.keeper = LeaseKeeper(self.lease, on_loss=self.lost.set, renew_every_s=0.01)
        assert self.lease.try_once()

    def version(self) -> int:
        return int(self.cluster.objects["Lease", "mimo", self.lease.name]["metadata"]["resourceVersion"])

    def holder(self) -> str:
        return str(self.cluster.objects["Lease", "mimo", self.lease.name]["spec"]["holderIdentity"])


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Replica]:
    made = Replica(tmp_path)
    yield made
    made.cluster.answers.set()
    made.keeper.stop()


def test_a_request_that_hangs_does_not_hide_the_deadline(replica: Replica) -> None:
    replica.cluster.hangs = True
    replica.keeper.start()
    assert replica.cluster.asked.wait(_DEADLINE_S)
    assert not replica.lost.is_set()
    replica.now_s = replica.lease.renew_deadline_s + 0.1
    assert replica.lost.wait(_DEADLINE_S), "the request still hangs, and so did the look at the deadline"
    assert not replica.cluster.answers.is_set()


def test_there_is_time_for_a_second_request_before_the_deadline_and_for_the_end_before_the_standby_begins(
    replica: Replica,
) -> None:
    assert CONNECT_LIMIT_S + READ_LIMIT_S == REQUEST_LIMIT_S
    assert REQUEST_LIMIT_S <= 5.0
    assert 2 * REQUEST_LIMIT_S <= replica.lease.renew_deadline_s < replica.lease.duration_s


def test_a_lease_that_another_took_ends_the_process(replica: Replica) -> None:
    replica.cluster.objects["Lease", "mimo", replica.lease.name]["spec"]["holderIdentity"] = "second"
    replica.keeper.start()
    assert replica.lost.wait(_DEADLINE_S)


def test_it_is_renewed_until_it_is_stopped_and_then_free(replica: Replica) -> None:
    replica.keeper.start()
    first = replica.version()
    _eventually(lambda: replica.version() >= first + 3)
    assert replica.holder() == "first"
    replica.keeper.stop()
    assert replica.holder() == ""
    assert not replica.lost.is_set()


def _eventually(holds: Any) -> None:
    waiting = threading.Event()
    for _ in range(int(_DEADLINE_S / 0.01)):
        if holds():
            return
        waiting.wait(0.01)
    raise AssertionError("it did not happen in time")
