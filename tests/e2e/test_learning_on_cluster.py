"""Does the whole `tiny` profile learn on a cluster what it learns by `make demo`? `make test-e2e-full` asks.

Its summary.json and report.html are left in runs/e2e-full. MIMO_E2E_KEEP=1 keeps the namespace.
"""

from __future__ import annotations

import json
import os
import sys
import time

import pytest

from mimo_vl.evaluation.claims import check_learning
from mimo_vl.storage.layout import OUTPUT_DIR, attempt_prefix, join
from tests.e2e.kube import Cluster
from tests.e2e.pipelines import Pipelines
from tests.e2e.port_forward import open_release_store
from tests.e2e.release import ROOT, delete_namespaces, explain, install, make_namespace

_NAMESPACE, _PIPELINE = "mimo-e2e-full", "tiny"
_DEADLINE_S = 4800.0
_POLL_S = 5.0
_FOLDER = ROOT / "runs/e2e-full"


@pytest.mark.e2e_full
@pytest.mark.timeout(5400)
def test_the_tiny_profile_learns_on_the_cluster(cluster: Cluster) -> None:
    delete_namespaces(cluster, _NAMESPACE)
    make_namespace(cluster, _NAMESPACE)
    install(cluster, _NAMESPACE)
    cluster.kubectl("apply", "-n", _NAMESPACE, "-f", str(ROOT / "examples/tiny.yaml"))
    pipelines = Pipelines(cluster, _NAMESPACE)
    seconds = _follow(pipelines)
    status = pipelines.get(_PIPELINE)["status"]
    assert status["phase"] == "Succeeded", explain(cluster, _NAMESPACE)
    _fetch_results(pipelines)
    claims = check_learning(json.loads((_FOLDER / "summary.json").read_text(encoding="utf-8")))
    sys.stdout.write("".join(f"{claim}\n" for claim in claims) + f"pipeline: {seconds:.0f} s\n")
    assert [str(claim) for claim in claims if not claim.holds] == []
    if not os.environ.get("MIMO_E2E_KEEP"):
        delete_namespaces(cluster, _NAMESPACE, wait=False)


def _follow(pipelines: Pipelines) -> float:
    """One line per stage that ends; returns when the pipeline has ended, with the seconds it took."""
    began, said = time.monotonic(), set()
    while time.monotonic() - began < _DEADLINE_S:
        status = pipelines.get(_PIPELINE).get("status", {})
        for stage in status.get("stages", []):
            mark = (stage["name"], stage["attempt"], stage["state"])
            if stage["state"] != "Pending" and mark not in said:
                said.add(mark)
                text = (
                    f"{time.monotonic() - began:6.0f} s  {stage['name']}: {stage['state']}, attempt {stage['attempt']}"
                )
                sys.stdout.write(f"{text} {stage.get('message', '')}\n")
                sys.stdout.flush()
        if status.get("phase") in ("Succeeded", "Failed", "Cancelled"):
            return time.monotonic() - began
        time.sleep(_POLL_S)
    raise AssertionError(f"not ended within {_DEADLINE_S:.0f} s\n{explain(pipelines.cluster, pipelines.namespace)}")


def _fetch_results(pipelines: Pipelines) -> None:
    stage = pipelines.stage(_PIPELINE, "finalize")
    run = f"{_NAMESPACE}/{_PIPELINE}/{pipelines.get(_PIPELINE)['metadata']['uid'][:8]}"
    _FOLDER.mkdir(parents=True, exist_ok=True)
    with open_release_store(pipelines.cluster, _NAMESPACE) as store:
        output = join(attempt_prefix(run, "finalize", stage["attempt"]), OUTPUT_DIR)
        for name in ("summary.json", "report.html"):
            (_FOLDER / name).write_bytes(store.get_bytes(join(output, name))[0])
