"""The compiled package, executed by kfp.local, makes a pipeline on a real cluster and follows it to its end."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from jobs.kfp_local import DEFAULT_KFP_PYTHON
from operators.mimo_pipeline.kubeflow.package import PACKAGES
from tests.e2e.lifecycle.drive import NAMESPACE, Life
from tests.e2e.release import ROOT, explain

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not DEFAULT_KFP_PYTHON.is_file(), reason="no environment of kfp: make setup-kfp"),
]

_PIPELINE = "by-kfp"
_STEPS = ["base.vision_batch_size=4", "base.vision_steps=4", "base.language_steps=4"]
_DEADLINE_S = 300.0


@dataclass(frozen=True)
class Done:
    pipeline: dict[str, Any]
    exit_code: int
    told: str
    outputs: Path


@pytest.fixture(scope="module")
def done(life: Life, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """By the release that was installed again."""
    cluster = life.pipelines.cluster
    outputs = tmp_path_factory.mktemp("kfp")
    parameters = {
        "name": _PIPELINE,
        "namespace": NAMESPACE,
        "overrides": _STEPS,
        "through": "base",
        "deadline_s": _DEADLINE_S,
        "kfp_endpoint": "",
    }
    package = str(PACKAGES / "tiny.yaml")
    command = [str(DEFAULT_KFP_PYTHON), "-m", "jobs.kfp_local", "--execute", package, json.dumps(parameters)]
    environ = {**cluster.command_environ(), "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [*command, str(outputs)], env=environ, cwd=ROOT, capture_output=True, text=True, timeout=500, check=False
    )
    told = ended.stdout + ended.stderr + explain(cluster, NAMESPACE)
    return Done(life.pipelines.get(_PIPELINE), ended.returncode, told, outputs)


def test_the_steps_end_well_with_the_stage(done: Done) -> None:
    assert done.exit_code == 0, done.told
    assert done.pipeline["status"]["phase"] == "Succeeded"
    assert "base: Succeeded, attempt 1" in done.told


def test_the_pipeline_says_who_made_it(done: Done) -> None:
    metadata = done.pipeline["metadata"]
    assert metadata["labels"]["mimo.dev/made-by"] == "kubeflow-pipelines"
    assert metadata["annotations"]["mimo.dev/kfp-run"]


def test_the_log_of_the_pod_is_in_the_log_of_the_step(done: Done) -> None:
    assert "==> base, attempt 1 <==" in done.told
    assert "published" in done.told


def test_the_model_and_its_metrics_are_artifacts_of_the_step(done: Done) -> None:
    [base] = done.pipeline["status"]["stages"]
    outputs = [json.loads(path.read_text()) for path in done.outputs.rglob("executor_output.json")]
    models = [o["artifacts"] for o in outputs if "model" in o.get("artifacts", {})]
    [found] = [m for m in models if m["model"]["artifacts"][0]["metadata"].get("stage") == "base"]
    model = found["model"]["artifacts"][0]["metadata"]
    assert (model["mimo_uri"], model["digest"]) == (base["outputUri"], base["digest"])
    assert found["metrics"]["artifacts"][0]["metadata"], "the store was read through a forwarded port"
