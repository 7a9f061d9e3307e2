"""What finalize tells the tracking server about the whole pipeline, reused stages included."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jobs.finalize import main
from jobs.runtime import run_stage
from mimo_vl.config.compose import compose, dump_config
from mimo_vl.schema.environment import StageEnvironment
from mimo_vl.schema.manifest import InputRef
from mimo_vl.storage.artifacts import publish_directory
from mimo_vl.storage.layout import attempt_prefix
from mimo_vl.storage.local import LocalStore
from mimo_vl.tracking import ModelVersion, NullTracker, RunStatus, Target
from mimo_vl.vocabulary import StageName

RUN_ID, EARLIER = "local/demo/aaaa1111", "local/demo/00000000"

pytestmark = pytest.mark.timeout(120)


class _Recorder(NullTracker):
    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.metrics: dict[str, float] = {}
        self.models: list[ModelVersion] = []
        self.ends: list[RunStatus] = []

    def log_artifact(self, path: str, data: bytes, *, is_table: bool = False, target: Target = Target.ATTEMPT) -> None:
        assert target == Target.PIPELINE
        self.files[path] = data

    def log_pipeline_metrics(self, metrics: dict[str, float]) -> None:
        self.metrics = dict(metrics)

    def register_model(self, version: ModelVersion) -> None:
        self.models.append(version)

    def finish_pipeline(self, status: RunStatus) -> None:
        self.ends.append(status)


def _publish(store: LocalStore, folder: Path, run_id: str, stage: str, **metrics: float) -> InputRef:
    prefix = attempt_prefix(run_id, stage, 1)
    store.put_bytes(f"{prefix}/claim.json", b"{}")
    inputs = {"base": InputRef(uri="file:///base", digest="sha256:b")}
    manifest = publish_directory(
        store, prefix, folder, stage=stage, attempt=1, run_id=run_id, stage_key="k", inputs=inputs, metrics=metrics
    )
    return InputRef(uri=store.uri(prefix), digest=manifest.content_digest)


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[_Recorder, dict[str, InputRef]]:
    """SFT is of an earlier run, evaluate of this one, and curate was started in vain."""
    store = LocalStore(tmp_path / "store")
    folders = {}
    for stage, card in (("long-context-sft", "# Card"), ("reward-model-text", "# Another")):
        folders[stage] = tmp_path / stage
        (folders[stage] / "model").mkdir(parents=True)
        (folders[stage] / "model" / "README.md").write_text(f"---\ntags: [x]\n---\n\n{card}")
    accuracy = {"pairwise_accuracy": 0.75, "ci_low": 0.5, "ci_high": 0.9, "heldout_pairs": 9.0, "heldout_queries": 3.0}
    inputs = {
        name: _publish(store, folders[name], run_id, name, **metrics)
        for name, run_id, metrics in (
            ("long-context-sft", EARLIER, {"loss_last": 1.5}),
            ("reward-model-text", RUN_ID, accuracy),
        )
    }
    store.put_bytes(f"{attempt_prefix(RUN_ID, 'curate', 1)}/claim.json", b"{}")
    (tmp_path / "config.yaml").write_text(dump_config(compose("tiny")))
    env = StageEnvironment(
        namespace="local",
        pipeline="demo",
        run_id=RUN_ID,
        stage=StageName.FINALIZE,
        attempt=1,
        config_path=tmp_path / "config.yaml",
        inputs=inputs,
        output_uri=store.uri(attempt_prefix(RUN_ID, "finalize", 1)),
    )
    recorder = _Recorder()
    monkeypatch.setattr("jobs.runtime.start_tracker", lambda *_, **__: recorder)
    assert run_stage(main, env.to_environ()) == 0
    return recorder, inputs


def test_a_reused_model_is_registered_with_the_run_that_made_it(told: tuple[_Recorder, dict[str, InputRef]]) -> None:
    recorder, inputs = told
    # The reward model of this run was registered by its own stage.
    [version] = recorder.models
    assert (version.alias, version.card) == ("sft", "# Card")
    assert version.digest == inputs["long-context-sft"].digest
    assert version.uri == f"{inputs['long-context-sft'].uri}/output/model"
    assert version.tags["mimo.run_id"] == EARLIER


def test_stages_and_lineage_and_results_are_told(told: tuple[_Recorder, dict[str, InputRef]]) -> None:
    recorder, inputs = told
    assert sorted(recorder.files) == ["lineage.json", "report.html", "stages.json"]
    table = json.loads(recorder.files["stages.json"])
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    assert {(r["stage"], r["state"]) for r in rows} >= {
        ("long-context-sft", "Reused"),
        ("reward-model-text", "Succeeded"),
    }
    assert "curate" in {r["stage"] for r in rows}
    lineage = json.loads(recorder.files["lineage.json"])
    assert lineage[inputs["long-context-sft"].digest]["inputs"] == {"base": "sha256:b"}
    assert recorder.metrics == {"loss_last/long-context-sft": 1.5, "pairwise_accuracy/reward-model-text": 0.75}
    # A stage left no output.
    assert recorder.ends == [RunStatus.FAILED]
