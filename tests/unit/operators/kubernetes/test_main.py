"""The operator's process as a whole, on an API in memory: how it begins, what it survives, how it ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mimo_vl.storage.store import store_for_uri
from operators.mimo_pipeline.cluster_settings import ClusterSettings
from operators.mimo_pipeline.kubernetes import main as main_module
from operators.mimo_pipeline.kubernetes.cluster import ApiError
from operators.mimo_pipeline.kubernetes.lease_keeper import LeaseKeeper
from operators.mimo_pipeline.kubernetes.main import Operator
from operators.mimo_pipeline.kubernetes.resources import Resource
from operators.mimo_pipeline.kubernetes.settings import OperatorEnvironment
from tests.fakes.cluster import FakeCluster

_DEADLINE_S = 15.0
_ENVIRONMENT = OperatorEnvironment(
    settings_path=Path("unused"), namespace="mimo", identity="first", liveness_port=0, metrics_port=0, json_logs=False
)


class StumblingCluster(FakeCluster):
    """Its first `num_silent` looks at the kinds of jobs are not answered."""

    num_silent = 0

    def is_served(self, resource: Resource) -> bool:
        if self.num_silent:
            self.num_silent -= 1
            raise ApiError(0, "Unreachable", "ReadTimeoutError")
        return super().is_served(resource)


def _watch_nothing(_resources: Any, _namespaces: Any, _on_event: Any, _history: Any, stop: threading.Event) -> None:
    stop.wait(_DEADLINE_S)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StumblingCluster:
    monkeypatch.setattr(main_module, "watch", _watch_nothing)
    return StumblingCluster(store=store_for_uri(tmp_path.as_uri()))


def _operator(cluster: FakeCluster) -> Operator:
    settings = ClusterSettings.model_validate(
        {
            "images": {"trainer": {"reference": "r/trainer:1"}, "rollout": {"reference": "r/rollout:1"}},
            "serviceAccounts": {"trainer": "trainer", "rayHead": "head", "rayWorker": "worker"},
            "store": {"uri": cluster.store.uri(), "secret": "store"},
        }
    )
    operator = Operator(api=cluster, lease_api=cluster, settings=settings, environment=_ENVIRONMENT)
    operator.keeper = LeaseKeeper(operator.lease, renew_every_s=0.02)
    return operator


async def _eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(_DEADLINE_S):
        while not holds():
            await asyncio.sleep(0.01)


def _lease(cluster: FakeCluster) -> dict[str, Any]:
    return cluster.objects["Lease", "mimo", "mimo-operator"]


def test_the_lease_is_renewed_until_the_last_round_has_ended(cluster: StumblingCluster) -> None:
    operator = _operator(cluster)
    began, may_end = threading.Event(), threading.Event()

    def round_(_namespace: str, _name: str) -> None:
        began.set()
        may_end.wait(_DEADLINE_S)

    operator.workers.round = round_

    async def scenario() -> int:
        running = asyncio.create_task(operator.work_until_stopped())
        await _eventually(lambda: "holderIdentity" in _lease(cluster)["spec"])
        operator.workers.add("mimo", "demo")
        await _eventually(began.is_set)
        operator.stop.set()
        # It was told to stop, and the round still writes: nobody else may begin.
        at_stop = int(_lease(cluster)["metadata"]["resourceVersion"])
        await _eventually(lambda: int(_lease(cluster)["metadata"]["resourceVersion"]) >= at_stop + 3)
        assert _lease(cluster)["spec"]["holderIdentity"] == "first"
        assert not running.done()
        may_end.set()
        return await running

    assert asyncio.run(scenario()) == 0
    assert _lease(cluster)["spec"]["holderIdentity"] == ""


def test_an_api_that_does_not_answer_the_look_at_kinds_of_jobs_does_not_end_the_operator(
    cluster: StumblingCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main_module, "_API_RETRY_S", 0.01)
    cluster.num_silent = 3
    operator = _operator(cluster)

    async def scenario() -> int:
        running = asyncio.create_task(operator.work_until_stopped())
        await _eventually(lambda: any(thread.name == "watch" for thread in threading.enumerate()) or running.done())
        assert not running.done()
        operator.stop.set()
        return await running

    assert asyncio.run(scenario()) == 0
    assert cluster.num_silent == 0
