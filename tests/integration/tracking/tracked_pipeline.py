"""A pipeline whose stages run in the test's process against a real tracking server, and what the server knows of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from jobs.runtime import run_stage
from jobs.stage_context import StageContext
from mimo_vl.config.compose import compose, dump_config
from mimo_vl.errors import PermanentError
from mimo_vl.schema.environment import StageEnvironment
from mimo_vl.schema.evaluation import Evaluation, FamilyComparison, MeanReward, ModelScore, Picture
from mimo_vl.schema.manifest import InputRef
from mimo_vl.schema.rollout import Completion, ScoredGroup
from mimo_vl.storage.artifacts import read_manifest
from mimo_vl.storage.layout import attempt_prefix
from mimo_vl.storage.local import LocalStore
from mimo_vl.tracking.rest import MlflowRest
from mimo_vl.vocabulary import RlFamily, StageName

from .conftest import Server

OVERRIDES = ["tracking.timeout_s=10.0", "tracking.system_metrics_interval_s=0.05", "tracking.experiment=stages"]
NUM_STEPS = 250


@dataclass
class Pipeline:
    """Runs stages one after the other in this process."""

    folder: Path
    tracking_uri: str
    uid: str
    store_folder: Path | None = None
    overrides: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.store = LocalStore(self.store_folder or self.folder / "store")
        self.run_id = f"local/demo/{self.uid}"
        self.config = self.folder / "config.yaml"
        self.config.write_text(dump_config(compose("tiny", [*OVERRIDES, *self.overrides])))

    def run(
        self,
        stage: StageName,
        main: Callable[[StageContext], Mapping[str, float]],
        *,
        attempt: int = 1,
        inputs: Mapping[str, InputRef] | None = None,
        kfp_run: str = "",
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
            kfp_run=kfp_run,
        )
        return run_stage(main, env.to_environ() | {"MIMO_SCRATCH": str(self.folder / "scratch")})

    def output(self, stage: StageName, attempt: int = 1) -> InputRef:
        prefix = attempt_prefix(self.run_id, stage, attempt)
        return InputRef(uri=self.store.uri(prefix), digest=read_manifest(self.store, prefix).content_digest)


def train(ctx: StageContext) -> Mapping[str, float]:
    """Like a training stage: metrics with their tokens, a checkpoint, a model."""
    for step in range(1, NUM_STEPS + 1):
        ctx.tracker.log_metrics({"loss": 3.0 / step, "train/tokens": 100.0 * step}, step)
    (ctx.checkpoint_dir / "step-5").mkdir()
    (ctx.checkpoint_dir / "step-5" / "state").write_text("5")
    ctx.complete_checkpoint(5)
    history = [{"step": 1, "loss": 3.0, "loss_by_group": {"ocr": 3.0}, "grad_norm": 1.0, "num_tokens": 90}]
    (ctx.out_dir / "metrics.json").write_text(json.dumps({"history": history, "row_tokens_per_step": 100}))
    _write_model(ctx.out_dir)
    return {"loss_last": 0.5, "tokens": 100.0 * NUM_STEPS}


def curate(ctx: StageContext) -> Mapping[str, float]:
    report = {"datasets": {"train-ocr": {"seen": 3, "kept": 2, "dropped": {"duplicate": 1}, "tokens": 50}}}
    (ctx.out_dir / "report.json").write_text(json.dumps(report))
    return {}


def fail(ctx: StageContext) -> Mapping[str, float]:
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


def morl(ctx: StageContext) -> Mapping[str, float]:
    """Like `morl`: two steps, two groups, a model."""
    for step in range(2):
        line = {"step": step, "rl/reward": 0.5, "rl/reward_by_family/counting": 0.5, "rl/completion_tokens": 4.0}
        with (ctx.out_dir / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        with (ctx.out_dir / "rollouts.jsonl").open("ab") as log:
            log.write(_group(step).to_json() + b"\n")
    _write_model(ctx.out_dir)
    return {"reward_last": 0.5}


def evaluate(ctx: StageContext) -> Mapping[str, float]:
    """Like `evaluate`, with one drawn prediction."""
    (ctx.out_dir / "pictures").mkdir()
    Image.new("RGB", (32, 32), (200, 30, 30)).save(ctx.out_dir / "pictures" / "ocr-0.png")
    picture = Picture(
        path="pictures/ocr-0.png",
        family="ocr",
        model="sft",
        prompt="What number is this?",
        response="7",
        reference="7",
        score=1.0,
    )
    family = FamilyComparison(
        name="ocr", metric="answers correct", n=1, models={"sft": ModelScore(value=1.0, ci=(0.2, 1.0), n=1, method="w")}
    )
    evaluation = Evaluation(
        confidence=0.95, models=("sft",), families=(family,), mean_reward=MeanReward(sft=0.5), pictures=(picture,)
    )
    (ctx.out_dir / "evaluation.json").write_bytes(evaluation.to_json())
    return {"evaluation/mean_reward/sft": 0.5}


def _group(step: int) -> ScoredGroup:
    completions = tuple(
        Completion(
            prompt_id="rl-counting-7",
            sample_index=index,
            token_ids=(1, 2),
            logprobs=(-1.0, -1.0),
            text=text,
            finish_reason="stop",
            weight_version=step,
        )
        for index, text in enumerate(("\\boxed{7}", "\\boxed{8}"))
    )
    return ScoredGroup(
        step=step,
        prompt_id="rl-counting-7",
        prompt_index=7,
        family=RlFamily.COUNTING,
        completions=completions,
        rewards=(0.75, 0.25),
    )


def _write_model(out_dir: Path) -> None:
    (out_dir / "model").mkdir()
    (out_dir / "model" / "config.json").write_text('{"architectures": ["Qwen2_5_VLForConditionalGeneration"]}')
