"""The run with faults, which the tests of this folder look at.

MIMO_E2E_KEEP=1 keeps its namespace afterwards. MIMO_E2E_REUSE=1 asks the run that an earlier call has kept, without
installing or running anything; what only a watch over the whole run can tell is skipped then.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest

from tests.e2e.kube import Cluster, CommandError
from tests.e2e.pod_watch import PodWatch
from tests.e2e.release import ROOT, delete_namespaces, explain, install, make_namespace
from tests.e2e.with_faults.drive import NAMESPACE, FaultRun, drive
from tests.e2e.with_faults.panel_watch import PanelWatch


@pytest.fixture(scope="package")
def run(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultRun]:
    if os.environ.get("MIMO_E2E_REUSE"):
        reused = FaultRun(cluster, PodWatch(cluster, NAMESPACE), {}, {})
        reused.note_objects()
        yield reused
        return
    delete_namespaces(cluster, NAMESPACE)
    make_namespace(cluster, NAMESPACE)
    try:
        install(cluster, NAMESPACE)
        cluster.kubectl("apply", "-n", NAMESPACE, "-f", str(ROOT / "examples/demo-ci.yaml"))
        # Only the nodes of the development cluster are this machine, from which pods have addresses to scrape.
        program = (shutil.which("prometheus") or "") if cluster.is_development else ""
        folder = tmp_path_factory.mktemp("prometheus")
        with PodWatch(cluster, NAMESPACE) as watch, PanelWatch(cluster, NAMESPACE, program, folder) as panels:
            current = FaultRun(cluster, watch, {}, {})
            drive(current)
            current.notes["empty_panels"] = panels.finish()
            yield current
    except CommandError as error:
        pytest.fail(f"{error}\n{explain(cluster, NAMESPACE)}")
    finally:
        # Also when it failed: its pipeline would go on beside what is tested next.
        if not os.environ.get("MIMO_E2E_KEEP"):
            delete_namespaces(cluster, NAMESPACE, wait=False)


@pytest.fixture
def watched(run: FaultRun) -> FaultRun:
    """A run that this call has followed from its start."""
    if os.environ.get("MIMO_E2E_REUSE"):
        pytest.skip("MIMO_E2E_REUSE: nobody watched the pods of this run")
    return run
