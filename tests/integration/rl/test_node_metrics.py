"""A Ray cluster of two nodes: the other one is sampled, gives up no resource for it, and is left alone in the end."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.ray_nodes import POD_ENVIRONMENT, ROOT, ray_nodes

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """Ray puts sockets below it: their paths may have 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="mt"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_the_driver_hears_of_the_other_node(short_folder: Path) -> None:
    with ray_nodes(short_folder, {"OMP_NUM_THREADS": "1"}, ["rollout"]) as address:
        ended = subprocess.run(
            [sys.executable, "-m", "tests.integration.rl.node_metrics_process", address],
            env={**os.environ, **POD_ENVIRONMENT, "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
    assert ended.returncode == 0, ended.stderr[-4000:]
    found = json.loads(ended.stdout.splitlines()[-1])
    assert len(found["heard"]) >= 3
    for values in found["heard"]:
        # The driver's own node is not among them.
        assert {name.split("/")[2] for name in values} == {"node-1"}
        # The raylet and its workers, not the sampling actor alone.
        assert values["system/process_pss/node-1"] > 50 << 20
        assert 0.0 <= values["system/cpu_utilization_percentage/node-1"] <= 100.0
    free = {name: value for name, value in found["before"].items() if name in ("CPU", "rollout")}
    assert free == {"CPU": 1.0, "rollout": 1.0}
    assert {name: found["during"][name] for name in free} == free
    assert found["are_gone"] == [True]
