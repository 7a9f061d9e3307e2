"""finalize: what it writes for a whole run, for a failed one, and that neither time nor place is in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jobs.finalize import main
from jobs.runtime import run_stage
from mimo_vl.config.compose import compose, dump_config
from mimo_vl.evaluation.evaluate import WorkerPlan, evaluate
from mimo_vl.observability.metrics import is_of_the_machine
from mimo_vl.schema.environment import StageEnvironment
from mimo_vl.schema.manifest import InputRef
from mimo_vl.storage.artifacts import publish_directory
from mimo_vl.storage.layout import attempt_prefix
from mimo_vl.storage.local import LocalStore
from mimo_vl.vocabulary import StageName
from tests.fakes.evaluation_suite import bench, model_of_quality

# The files of the evaluation are made once (a second or two), then published into each test's store.
pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def config_text() -> str:
    return dump_config(compose("tiny", ["tracking.kind='null'"]))


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, config = tmp_path_factory.mktemp("evaluated"), compose("tiny")
    models = [model_of_quality("base", 0.0), model_of_quality("sft", 0.5), model_of_quality("rl", 1.0)]
    names = ["base", "sft", "rl"]
    evaluate(bench(root, models), names, config=config.evaluation, processing=config.processing, workers=WorkerPlan())
    return root / "out"


def _publish(store: LocalStore, run_id: str, stage: str, folder: Path, **metrics: float) -> InputRef:
    prefix = attempt_prefix(run_id, stage, 1)
    store.put_bytes(f"{prefix}/claim.json", b"{}")
    manifest = publish_directory(
        store, prefix, folder, stage=stage, attempt=1, run_id=run_id, stage_key="k", metrics=metrics
    )
    return InputRef(uri=store.uri(prefix), digest=manifest.content_digest)


def _finalize(root: Path, config_text: str, inputs: dict[str, InputRef], *, uid: str) -> Path:
    store = LocalStore(root / "store")
    (root / "config.yaml").write_text(config_text)
    run_id = f"local/demo/{uid}"
    env = StageEnvironment(
        namespace="local",
        pipeline="demo",
        run_id=run_id,
        stage=StageName.FINALIZE,
        attempt=1,
        config_path=root / "config.yaml",
        inputs=inputs,
        output_uri=store.uri(attempt_prefix(run_id, "finalize", 1)),
        stage_key="sha256:key",
    )
    assert run_stage(main, env.to_environ()) == 0
    return root / "store" / attempt_prefix(run_id, "finalize", 1) / "output"


def _training(folder: Path) -> Path:
    folder.mkdir()
    (folder / "metrics.json").write_text(json.dumps({"history": [{"step": i, "loss": 3.0 - i} for i in range(3)]}))
    return folder


def _rates(speed: float) -> dict[str, float]:
    """As the manifests of training stages have them, under the names of the loop and of the metrics."""
    plain = {"tokens_per_s": 900.0, "patches_per_s": 70.0, "mfu": 0.4, "data_wait_fraction": 0.01}
    named = {"rl/rollout_time": 9.0, "rl/update_time": 4.0}
    return {n: v * speed for n, v in (plain | {f"train/{n}": v for n, v in plain.items()} | named).items()}


def _whole_run(root: Path, config_text: str, evaluated: Path, uid: str, *, speed: float = 1.0) -> Path:
    """`speed`: of the machine, which everything but the results depends on."""
    store = LocalStore(root / "store")
    trained = _training(root / "trained")
    inputs = {
        "long-context-sft": _publish(
            store,
            f"local/demo/{uid}",
            "long-context-sft",
            trained,
            loss_first=3.0,
            loss_last=1.0,
            tokens=90.0,
            steps=3.0,
            **_rates(speed),
        ),
        "evaluate": _publish(store, f"local/demo/{uid}", "evaluate", evaluated),
    }
    return _finalize(root, config_text, inputs, uid=uid)


def test_whole_run_has_its_numbers_in_the_summary(tmp_path: Path, config_text: str, evaluated: Path) -> None:
    summary = json.loads((_whole_run(tmp_path, config_text, evaluated, "aaaa1111") / "summary.json").read_text())
    stages = {s["name"]: s for s in summary["stages"]}
    assert (stages["long-context-sft"]["loss_first"], stages["long-context-sft"]["loss_last"]) == (3.0, 1.0)
    assert stages["long-context-sft"]["tokens"] == 90
    counting = next(f for f in summary["families"] if f["name"] == "counting")
    assert (counting["base"], counting["sft"], counting["rl"]) == (0.0, 0.5, 1.0)
    assert summary["mean_reward"]["rl"] == 1.0


def test_two_runs_give_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory, config_text: str, evaluated: Path
) -> None:
    first, second = (
        _whole_run(tmp_path_factory.mktemp("run"), config_text, evaluated, uid, speed=speed)
        for uid, speed in (("aaaa1111", 1.0), ("bbbb2222", 1.5))
    )
    for name in ("summary.json", "report.html"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_every_rate_that_a_stage_leaves_is_one_that_two_runs_may_differ_in() -> None:
    assert [name for name in _rates(1.0) if not is_of_the_machine(name)] == []


def test_failed_run_reports_what_there_is_and_what_is_missing(tmp_path: Path, config_text: str) -> None:
    store = LocalStore(tmp_path / "store")
    run_id = "local/demo/cccc3333"
    inputs = {"base": _publish(store, run_id, "base", _training(tmp_path / "base"))}
    store.put_bytes(f"{attempt_prefix(run_id, 'curate', 1)}/claim.json", b"{}")
    output = _finalize(tmp_path, config_text, inputs, uid="cccc3333")
    summary = json.loads((output / "summary.json").read_text())
    assert [(s["name"], s["status"]) for s in summary["stages"]] == [("base", "Succeeded"), ("curate", "Failed")]
    assert summary["families"] == []
    assert "1 of 2 stages failed" in (output / "report.html").read_text()


def test_vanished_artifact_is_left_out_not_fatal(tmp_path: Path, config_text: str) -> None:
    store = LocalStore(tmp_path / "store")
    gone = InputRef(uri=store.uri("runs/local/demo/old/curate/attempt-1"), digest="sha256:0")
    output = _finalize(tmp_path, config_text, {"curate": gone}, uid="dddd4444")
    assert json.loads((output / "summary.json").read_text())["stages"] == []
