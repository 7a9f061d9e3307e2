"""Whole stage attempts against a real server: one misses an outage, one fails, and all of it is told in the end."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from jobs import finalize
from jobs.runtime import run_stage
from jobs.stage_context import StageContext
from mimo_vl.config.compose import compose, dump_config
from mimo_vl.errors import PermanentError
from mimo_vl.schema.environment import StageEnvironment
from mimo_vl.schema.manifest import InputRef
from mimo_vl.storage.artifacts import read_manifest
from mimo_vl.storage.layout import attempt_prefix
from mimo_vl.storage.local import LocalStore
from mimo_vl.tracking.journal import read_journal
from mimo_vl.tracking.rest import MlflowRest
from mimo_vl.vocabulary import StageName

from .conftest import Server

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

OVERRIDES = ["tracking.timeout_s=1.0", "tracking.system_metrics_interval_s=0.05", "tracking.experiment=stages"]
NUM_STEPS = 250


@pytest.fixture(autouse=True)
def _keep_sigterm() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@dataclass
class Pipeline:
    """Runs stages one after the other in this process."""

    folder: Path
    tracking_uri: str
    uid: str

    def __post_init__(self) -> None:
        self.store = LocalStore(self.folder / "store")
        self.run_id = f"local/demo/{self.uid}"
        self.config = self.folder / "config.yaml"
        self.config.write_text(dump_config(compose("tiny", OVERRIDES)))

    def run(
        self,
        stage: StageName,
        main: Callable[[StageContext], Mapping[str, float]],
        *,
        attempt: int = 1,
        inputs: Mapping[str, InputRef] | None = None,
    ) -> int:
        env = StageEnvironment(
            namespace="local",
            pipeline="demo",
            run_id=self.run_id,
            stage=stage,
            attempt=attempt,
            config_path=self.config,
            inputs=dict(inputs or {}),
            output_uri=self.store.uri(attempt_prefix(self.run_id, stage, attempt)),
            stage_key=f"sha256:{stage}",
            tracking_uri=self.tracking_uri,
        )
        return run_stage(main, env.to_environ() | {"MIMO_SCRATCH": str(self.folder / "scratch")})

    def output(self, stage: StageName, attempt: int = 1) -> InputRef:
        prefix = attempt_prefix(self.run_id, stage, attempt)
        return InputRef(uri=self.store.uri(prefix), digest=read_manifest(self.store, prefix).content_digest)


def _train(ctx: StageContext) -> Mapping[str, float]:
    """Like a training stage: metrics with their tokens, a checkpoint, a model."""
    for step in range(1, NUM_STEPS + 1):
        ctx.tracker.log_metrics({"loss": 3.0 / step, "train/tokens": 100.0 * step}, step)
    (ctx.checkpoint_dir / "step-5").mkdir()
    (ctx.checkpoint_dir / "step-5" / "state").write_text("5")
    ctx.complete_checkpoint(5)
    history = [{"step": 1, "loss": 3.0, "loss_by_group": {"ocr": 3.0}, "grad_norm": 1.0, "num_tokens": 90}]
    (ctx.out_dir / "metrics.json").write_text(json.dumps({"history": history, "row_tokens_per_step": 100}))
    (ctx.out_dir / "model").mkdir()
    (ctx.out_dir / "model" / "config.json").write_text('{"architectures": ["Qwen2_5_VLForConditionalGeneration"]}')
    return {"loss_last": 0.5, "tokens": 100.0 * NUM_STEPS}


def _curate(ctx: StageContext) -> Mapping[str, float]:
    report = {"datasets": {"train-ocr": {"seen": 3, "kept": 2, "dropped": {"duplicate": 1}, "tokens": 50}}}
    (ctx.out_dir / "report.json").write_text(json.dumps(report))
    return {}


def _fail(ctx: StageContext) -> Mapping[str, float]:
    ctx.tracker.log_metrics({"loss": 1.0}, 1)
    raise PermanentError("the loss is NaN at step 2")


class Asked:
    """What the server knows of one pipeline."""

    def __init__(self, server: Server, run_id: str) -> None:
        self.rest = MlflowRest(server.uri, timeout_s=10.0)
        self.experiment_id = self.rest.get("experiments/get-by-name", experiment_name="stages")["experiment"][
            "experiment_id"
        ]
        body = {"experiment_ids": [self.experiment_id], "filter": f"tags.`mimo.run_id` = '{run_id}'"}
        self.runs = {r["info"]["run_name"]: r for r in self.rest.post("runs/search", body)["runs"]}

    def tags(self, name: str) -> dict[str, str]:
        return {t["key"]: t.get("value", "") for t in self.runs[name]["data"]["tags"]}

    def params(self, name: str) -> dict[str, str]:
        return {p["key"]: p["value"] for p in self.runs[name]["data"].get("params", [])}

    def status(self, name: str) -> str:
        return str(self.runs[name]["info"]["status"])

    def id(self, name: str) -> str:
        return str(self.runs[name]["info"]["run_id"])

    def points(self, name: str, metric: str) -> list[tuple[int, float, int]]:
        found = self.rest.get("metrics/get-history", run_id=self.id(name), metric_key=metric).get("metrics", [])
        return sorted((m["step"], m["value"], m["timestamp"]) for m in found)


def test_a_server_that_is_down_for_a_whole_stage_has_every_point_once_in_the_end(
    server: Server, tmp_path: Path
) -> None:
    pipeline = Pipeline(tmp_path, server.uri, "aaaa1111")
    assert pipeline.run(StageName.CURATE, _curate) == 0
    curate = {"curate": pipeline.output(StageName.CURATE)}
    server.stop()
    assert pipeline.run(StageName.LONG_CONTEXT_SFT, _train, inputs=curate) == 0
    server.start()
    sft = {**curate, "long-context-sft": pipeline.output(StageName.LONG_CONTEXT_SFT)}
    assert pipeline.run(StageName.FINALIZE, finalize.main, inputs=sft) == 0

    asked, name = Asked(server, pipeline.run_id), "long-context-sft-1"
    assert asked.status(name) == "FINISHED"
    journal = f"{attempt_prefix(pipeline.run_id, 'long-context-sft', 1)}/journal"
    logged = [e for e in read_journal(pipeline.store, journal) if "loss" in e.values]
    assert len(logged) == NUM_STEPS
    expected = [(e.step, float(e.values["loss"]), e.time_ms) for e in logged]
    assert asked.points(name, "loss") == expected
    assert asked.points(name, "loss_by_tokens") == [(100 * step, value, time) for step, value, time in expected]
    samples = [e for e in read_journal(pipeline.store, journal) if "system/process_pss/node-0" in e.values]
    assert len(asked.points(name, "system/process_pss/node-0")) == len(samples) > 0
    # A second replay, as a retried finalize makes it, changes nothing.
    (tmp_path / "store" / journal / "sent.json").unlink()
    again = pipeline.run(StageName.FINALIZE, finalize.main, inputs=sft, attempt=2)
    assert again == 0
    assert asked.points(name, "loss") == expected


def test_what_the_runs_of_a_pipeline_hold(server: Server, tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path, server.uri, "bbbb2222")
    assert pipeline.run(StageName.CURATE, _curate) == 0
    curate = {"curate": pipeline.output(StageName.CURATE)}
    assert pipeline.run(StageName.LONG_CONTEXT_SFT, _fail, inputs=curate) == 2
    assert pipeline.run(StageName.LONG_CONTEXT_SFT, _train, inputs=curate, attempt=2) == 0
    sft = pipeline.output(StageName.LONG_CONTEXT_SFT, 2)
    assert pipeline.run(StageName.FINALIZE, finalize.main, inputs={**curate, "long-context-sft": sft}) == 0

    asked, parent = Asked(server, pipeline.run_id), pipeline.run_id
    assert sorted(asked.runs) == ["curate-1", "finalize-1", parent, "long-context-sft-1", "long-context-sft-2"]
    # The first attempt says why it ended, the second one ended well.
    assert asked.status("long-context-sft-1") == "FAILED"
    assert asked.tags("long-context-sft-1")["mimo.reason"] == "PermanentError"
    assert asked.tags("long-context-sft-1")["mimo.message"] == "the loss is NaN at step 2"
    assert asked.status("long-context-sft-2") == "FINISHED"
    assert "mimo.reason" not in asked.tags("long-context-sft-2")

    params = asked.params("long-context-sft-2")
    assert (params["stage"], params["profile"], params["seed"]) == ("long-context-sft", "tiny", "0")
    assert params["stage.num_steps"] == str(compose("tiny", OVERRIDES).stages[StageName.LONG_CONTEXT_SFT].num_steps)
    tags = asked.tags("long-context-sft-2")
    attempt = attempt_prefix(pipeline.run_id, "long-context-sft", 2)
    assert json.loads(tags["mimo.output"]) == {"uri": sft.uri, "digest": sft.digest}
    checkpoint = json.loads(tags["mimo.checkpoint.step-5"])
    assert checkpoint["uri"] == pipeline.store.uri(f"{attempt}/checkpoints/step-5")

    inputs = asked.runs["long-context-sft-2"]["inputs"]["dataset_inputs"]
    [dataset] = [i["dataset"] for i in inputs]
    assert json.loads(dataset["source"])["digest"] == curate["curate"].digest
    assert json.loads(dataset["profile"])["datasets"]["train-ocr"]["kept"] == 2
    assert "| train-ocr |" in _artifact(server, asked, "long-context-sft-2", "data_cards/curate.md").decode()
    assert b"ocr" in _artifact(server, asked, "long-context-sft-2", "plots/loss_by_data_type.svg")

    _check_parent(server, asked, pipeline, sft)


def _check_parent(server: Server, asked: Asked, pipeline: Pipeline, sft: InputRef) -> None:
    parent = pipeline.run_id
    tags = asked.tags(parent)
    assert (tags["mimo.kfp_run"], tags["mimo.cluster_link"], tags["mimo.pipeline"]) == ("", "", "demo")
    assert asked.params(parent)["tracking.experiment"] == "stages"
    assert _artifact(server, asked, parent, "config.yaml").decode() == pipeline.config.read_text()
    lineage = json.loads(_artifact(server, asked, parent, "lineage.json"))
    assert lineage[sft.digest]["inputs"] == {"curate": pipeline.output(StageName.CURATE).digest}
    table = json.loads(_artifact(server, asked, parent, "stages.json"))
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    assert [(r["stage"], r["attempt"]) for r in rows] == [
        ("curate", 1),
        ("long-context-sft", 1),
        ("long-context-sft", 2),
    ]
    assert rows[2]["digest"] == sft.digest
    assert "stages.json" in tags["mlflow.loggedArtifacts"]
    assert _artifact(server, asked, parent, "report.html").startswith(b"<!doctype html>")
    assert asked.points(parent, "loss_last/long-context-sft")[0][1] == 0.5
    alias = asked.rest.get("registered-models/alias", name="mimo-vl-tiny", alias="sft")["model_version"]
    assert {t["key"]: t["value"] for t in alias["tags"]}["mimo.digest"] == sft.digest
    assert "# mimo-vl-tiny: long-context-sft" in alias["description"]


def _artifact(server: Server, asked: Asked, run: str, path: str) -> bytes:
    return server.artifact(asked.experiment_id, asked.id(run), path)


def test_a_killed_attempt_is_told_with_its_reason_as_soon_as_the_next_one_runs(server: Server, tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path, server.uri, "cccc3333")
    stage = StageName.LONG_CONTEXT_SFT
    attempt = attempt_prefix(pipeline.run_id, stage, 1)

    class _Killed(BaseException):
        pass

    def killed(ctx: StageContext) -> Mapping[str, float]:
        ctx.tracker.log_metrics({"loss": 2.0}, 1)
        ctx.tracker.flush()
        # Leaves run_stage without any of its clean-up, as SIGKILL does.
        raise _Killed

    with pytest.raises(_Killed):
        pipeline.run(stage, killed)
    record: dict[str, Any] = {"exit_code": 1, "reason": "OOMKilled", "message": "rank 0 was killed: memory ran out"}
    pipeline.store.put_bytes(f"{attempt}/exit.json", json.dumps(record).encode())
    assert pipeline.run(stage, _train, attempt=2) == 0
    asked = Asked(server, pipeline.run_id)
    assert asked.status("long-context-sft-1") == "FAILED"
    assert asked.tags("long-context-sft-1")["mimo.reason"] == "OOMKilled"
    assert asked.points("long-context-sft-1", "loss")[0][:2] == (1, 2.0)
    assert asked.status("long-context-sft-2") == "FINISHED"
