"""Is every metric point of every node in MLflow, once, also of a stage during which MLflow was away?"""

from __future__ import annotations

from collections import defaultdict

import pytest

from mimo_vl.observability import metrics
from mimo_vl.storage import ArtifactStore
from mimo_vl.storage.layout import attempt_prefix, join
from mimo_vl.tracking.journal import JOURNAL, read_journal
from mimo_vl.tracking.tracker import Target
from tests.e2e.port_forward import open_release_store
from tests.e2e.tracking_server import Point, TrackedRun, open_tracking
from tests.e2e.with_faults.drive import NAMESPACE, WITHOUT_TRACKING, FaultRun
from tests.e2e.with_faults.test_pipeline import TORCH_STAGES

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

_SYSTEM = (metrics.SYSTEM_CPU_PERCENT, metrics.SYSTEM_MEMORY_BYTES, metrics.PROCESS_PSS_BYTES)


def _last_attempts(run: FaultRun, found: list[TrackedRun]) -> dict[str, TrackedRun]:
    """Stage -> its run in MLflow that ended well."""
    number = {s["name"]: str(s["attempt"]) for s in run.pipeline()["status"]["stages"]}
    return {
        r.tags["mimo.stage"]: r for r in found if r.parent_id and r.tags["mimo.attempt"] == number[r.tags["mimo.stage"]]
    }


@pytest.mark.parametrize("stage", TORCH_STAGES)
def test_both_pods_of_a_stage_tell_how_busy_their_node_is(run: FaultRun, stage: str) -> None:
    with open_tracking(run.cluster, NAMESPACE) as tracking:
        tracked = _last_attempts(run, tracking.runs(run.run_id))[stage]
    wanted = {metric.of(node) for metric in _SYSTEM for node in ("node-0", "node-1")}
    assert wanted - set(tracked.metrics) == set()
    # Each node measured its own process.
    assert min(tracked.metrics[metrics.PROCESS_PSS_BYTES.of(node)] for node in ("node-0", "node-1")) > 50e6


def _logged(store: ArtifactStore, attempt: str) -> dict[str, list[Point]]:
    """Metric -> its points, out of the journals of both nodes."""
    found = defaultdict(list)
    for journal in (join(attempt, JOURNAL), join(attempt, JOURNAL, "node-1")):
        for entry in read_journal(store, journal):
            if entry.kind == "metrics" and entry.target == Target.ATTEMPT:
                for name, text in entry.values.items():
                    found[name].append(Point(entry.step, float(text), entry.time_ms))
    return {name: sorted(points) for name, points in found.items()}


def test_a_stage_without_mlflow_has_every_point_there_once_afterwards(run: FaultRun) -> None:
    attempt = attempt_prefix(run.run_id, WITHOUT_TRACKING, run.stage(WITHOUT_TRACKING)["attempt"])
    with open_release_store(run.cluster, NAMESPACE) as store:
        logged = _logged(store, attempt)
    assert {metrics.SYSTEM_CPU_PERCENT.of("node-0"), metrics.SYSTEM_CPU_PERCENT.of("node-1")} <= set(logged)
    assert max(len(points) for points in logged.values()) > 1
    with open_tracking(run.cluster, NAMESPACE) as tracking:
        tracked = _last_attempts(run, tracking.runs(run.run_id))[WITHOUT_TRACKING]
        arrived = {name: tracking.points(tracked.run_id, name) for name in logged}
    assert tracked.status == "FINISHED"
    assert arrived == logged


def test_mlflow_was_away_from_before_that_stage_until_it_had_ended(watched: FaultRun) -> None:
    assert watched.notes["tracking gone"] == "Pending"
    assert watched.notes["pods of tracking"] == 0
