"""What happens to a mistake: a wrong key, digest or input, a kind of job that the cluster lacks, a typo.

Each stops at once and is named.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from mimo_vl.schema.manifest import Manifest
from mimo_vl.storage import ArtifactStore
from mimo_vl.storage.artifacts import publish_directory
from tests.e2e.kube import CommandError
from tests.e2e.pipelines import Pipelines
from tests.e2e.port_forward import open_release_store
from tests.e2e.steering.names import NAMESPACE, RELEASE

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

_STAGE_DEADLINE_S = 120.0
_WRONG_DIGEST = "sha256:" + "0" * 64
_CURATE = {"name": "curate", "inputs": ["base"], "job": {}}


@pytest.fixture(scope="module")
def artifacts(pipelines: Pipelines, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """`other`: an artifact under a digest that is not its own; `damaged`: one with a byte changed after it was made."""
    folder = tmp_path_factory.mktemp("base")
    (folder / "tokenizer").mkdir()
    (folder / "tokenizer" / "vocab.json").write_text('{"a": 0}')
    with open_release_store(pipelines.cluster, NAMESPACE, RELEASE) as store:
        _publish(store, "elsewhere/other", folder)
        damaged = _publish(store, "elsewhere/damaged", folder)
        store.put_bytes("elsewhere/damaged/output/tokenizer/vocab.json", b'{"a": 1}')
        return {
            "other": _input(store.uri("elsewhere/other"), _WRONG_DIGEST),
            "damaged": _input(store.uri("elsewhere/damaged"), damaged.content_digest),
        }


def _publish(store: ArtifactStore, prefix: str, folder: Path) -> Manifest:
    return publish_directory(
        store, prefix, folder, stage="base", attempt=1, run_id="elsewhere/by/hand", stage_key=_WRONG_DIGEST
    )


def _input(uri: str, digest: str) -> dict[str, str]:
    return {"name": "base", "uri": uri, "digest": digest}


def test_a_wrong_config_key_is_named_in_the_status_and_nothing_starts(pipelines: Pipelines) -> None:
    wrong = ["stages.projector-warmup.num_stpes=3"]
    pipelines.create("wrong-key", profile="tiny", overrides=wrong, stages=[{"name": "base", "job": {}}])
    pipelines.wait("Valid=False", lambda: pipelines.condition("wrong-key", "Valid").get("status") == "False", 30)
    assert "stages.projector-warmup.num_stpes" in pipelines.condition("wrong-key", "Valid")["message"]
    assert pipelines.get("wrong-key")["status"]["phase"] != "Running"
    assert pipelines.leaves("wrong-key") == []
    shown = _mimo(pipelines, "status", "--pipeline", "wrong-key")
    assert "Valid=False" in shown
    assert "num_stpes" in shown


def test_a_corrected_key_makes_the_same_pipeline_valid(pipelines: Pipelines) -> None:
    wrong = ["stages.projector-warmup.num_stpes=3"]
    pipelines.create("corrected", profile="tiny", overrides=wrong, suspend=True, stages=[{"name": "base", "job": {}}])
    pipelines.wait("Valid=False", lambda: pipelines.condition("corrected", "Valid").get("status") == "False", 30)
    pipelines.patch("corrected", overrides=["stages.projector-warmup.num_steps=3"])
    pipelines.wait("Valid=True", lambda: pipelines.condition("corrected", "Valid").get("status") == "True", 30)
    assert pipelines.leaves("corrected") == []


_WANTED = {
    "other": ("has digest sha256:", f"wanted {_WRONG_DIGEST}"),
    "damaged": ("elsewhere/damaged", "tokenizer/vocab.json"),
}


@pytest.fixture(scope="module")
def started(pipelines: Pipelines, artifacts: dict[str, dict[str, str]]) -> Pipelines:
    """One pipeline for each wrong input, beside each other."""
    for case in _WANTED:
        pipelines.create(case, profile="tiny", inputs=[artifacts[case]], stages=[_CURATE])
    return pipelines


@pytest.mark.parametrize("case", sorted(_WANTED))
def test_a_wrong_input_stops_the_stage_at_once_with_exit_code_2_and_its_name(started: Pipelines, case: str) -> None:
    pipelines = started
    stage = _ended(pipelines, case)
    assert (stage["state"], stage["exitCode"], stage["attempt"]) == ("Failed", 2, 1)
    for words in _WANTED[case]:
        assert words in stage["message"]
    assert len([leaf for leaf in pipelines.leaves(case) if leaf.startswith("Pod/")]) == 1
    failed = pipelines.condition(case, "Failed")
    assert failed["status"] == "True"
    assert _WANTED[case][1] in failed["message"]


def _ended(pipelines: Pipelines, name: str) -> dict[str, Any]:
    over = ("Succeeded", "Failed", "Cancelled")
    pipelines.wait(
        f"{name} ends", lambda: pipelines.get(name).get("status", {}).get("phase") in over, _STAGE_DEADLINE_S
    )
    return pipelines.stage(name, "curate")


def test_a_kind_of_job_that_the_cluster_lacks_is_a_condition_and_the_operator_works_on(pipelines: Pipelines) -> None:
    if pipelines.cluster.get("crd", "trainjobs.trainer.kubeflow.org", NAMESPACE) is not None:
        pytest.skip("this cluster has TrainJobs")
    before = _operators(pipelines)
    name, names = "no-backend", ["base", "curate"]
    inputs = [{**_input("s3://mimo/nowhere", _WRONG_DIGEST), "name": n} for n in names]
    workload = {"backend": "trainjob", "numNodes": 2}
    stage = {"name": "projector-warmup", "inputs": names, "pytorch": workload}
    pipelines.create(name, profile="tiny", inputs=inputs, stages=[stage])
    missing = "BackendUnavailable"
    pipelines.wait(missing, lambda: pipelines.condition(name, missing).get("status") == "True", 60)
    message = pipelines.condition(name, missing)["message"]
    assert "TrainJob" in message
    assert "install it with: " in message
    assert pipelines.leaves(name) == []
    _mimo(pipelines, "cancel", "--pipeline", name)
    pipelines.wait("it is cancelled", lambda: pipelines.get(name)["status"]["phase"] == "Cancelled", 60)
    assert _operators(pipelines) == before


def _operators(pipelines: Pipelines) -> dict[str, int]:
    """Pod of the operator -> how often its process was started anew."""
    pods = pipelines.cluster.list("pods", NAMESPACE, "app.kubernetes.io/component=operator")
    return {p["metadata"]["uid"]: p["status"]["containerStatuses"][0]["restartCount"] for p in pods}


def test_kubectl_refuses_a_typo(pipelines: Pipelines) -> None:
    with pytest.raises(CommandError, match=r'unknown field "spec\.stages\[0\]\.dependOn"'):
        pipelines.create("typo", profile="tiny", stages=[{"name": "base", "job": {}, "dependOn": []}])


_TYPOS = {
    "a key": (("--override", "stages.projector-warmup.num_stpes=3"), "stages.projector-warmup.num_stpes"),
    "a stage": (("--stages", "bsae"), "bsae"),
    "a profile": (("--profile", "tinny"), "tinny"),
    "an input": (("--input", "base=s3://mimo/elsewhere"), "--input"),
}


@pytest.mark.parametrize("case", sorted(_TYPOS))
def test_submit_refuses_a_typo_and_creates_nothing(pipelines: Pipelines, case: str) -> None:
    arguments, wanted = _TYPOS[case]
    with pytest.raises(CommandError) as caught:
        _mimo(pipelines, "submit", "--name", "typo", *arguments)
    assert "exit 2" in str(caught.value)
    assert wanted in str(caught.value).split("error: ", 1)[1]
    assert pipelines.cluster.get("mp", "typo", NAMESPACE) is None


def _mimo(pipelines: Pipelines, *arguments: str) -> str:
    return pipelines.cluster.run(sys.executable, "-m", "jobs.cli", *arguments, "-n", NAMESPACE)
