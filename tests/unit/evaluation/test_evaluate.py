"""The whole suite with models of known quality: numbers, files, reports, and what interruption leaves."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from mimo_vl.config.compose import compose
from mimo_vl.config.pipeline import PipelineConfig
from mimo_vl.errors import ConfigError, DigestMismatchError, InterruptedAfterSaveError
from mimo_vl.evaluation.claims import check
from mimo_vl.evaluation.collect import RunMaterial, StageOutput, collect
from mimo_vl.evaluation.compare import compare_rewards
from mimo_vl.evaluation.evaluate import WorkerPlan, evaluate, headline_metrics
from mimo_vl.evaluation.score import read_results
from mimo_vl.evaluation.suite import Bench
from mimo_vl.evaluation.summary import build_summary, summary_text
from mimo_vl.evaluation.tasks import TINY_SUITE, task_by_id
from mimo_vl.schema.evaluation import Evaluation, ItemStatus
from mimo_vl.schema.manifest import FileEntry, Manifest
from tests.fakes.evaluation_suite import NUM_ITEMS, bench, model_of_quality

MODELS = [
    model_of_quality("base", 0.0, nats=2.05),
    model_of_quality("sft", 0.5, nats=2.0),
    model_of_quality("rl", 0.75, nats=2.0),
]


# 200 pairs of 50 queries, half of the pairs against the base model.
PAIR_METRICS = {
    "pairwise_accuracy": 0.8,
    "ci_low": 0.7,
    "ci_high": 0.9,
    "heldout_pairs": 200.0,
    "heldout_queries": 50.0,
    "pairwise_accuracy_sft_sft": 0.65,
    "ci_low_sft_sft": 0.5,
    "ci_high_sft_sft": 0.8,
    "heldout_pairs_sft_sft": 100.0,
    "heldout_queries_sft_sft": 40.0,
}


@pytest.fixture(scope="module")
def config() -> PipelineConfig:
    return compose("tiny")


def _evaluate(
    bench_: Bench, config: PipelineConfig, *, names: tuple[str, ...] = ("base", "sft", "rl"), workers: int = 1
) -> Evaluation:
    plan = WorkerPlan(num_workers=workers)
    return evaluate(bench_, names, config=config.evaluation, processing=config.processing, workers=plan)


def _files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def _output(stage: str, files: Mapping[str, bytes], **metrics: float) -> StageOutput:
    entries = [
        FileEntry(path=path, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
        for path, data in files.items()
    ]
    manifest = Manifest(
        stage=stage,
        attempt=1,
        run_id="r",
        stage_key="k",
        content_digest="sha256:0",
        files=tuple(entries),
        metrics=metrics,
    )
    return StageOutput(manifest=manifest, uri=f"file:///store/{stage}", read_file=files.__getitem__)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, config: PipelineConfig) -> tuple[Evaluation, Path]:
    root = tmp_path_factory.mktemp("suite")
    return _evaluate(bench(root, MODELS), config), root / "out"


@pytest.fixture(scope="module")
def material(finished: tuple[Evaluation, Path]) -> RunMaterial:
    return collect(
        {
            "evaluate": _output("evaluate", _files(finished[1])),
            "morl": _output("morl", {}),
            "reward-model-text": _output("reward-model-text", {}, **PAIR_METRICS, loss_first=0.7, loss_last=0.4),
            "long-context-sft": _output("long-context-sft", {}, loss_first=2.0, loss_last=1.1, tokens=50.0),
        }
    )


def test_each_family_gets_the_share_that_its_model_knows(finished: tuple[Evaluation, Path]) -> None:
    evaluation, _ = finished
    assert [f.name for f in evaluation.families] == [t.family for t in TINY_SUITE]
    for family in evaluation.families:
        assert family.n == NUM_ITEMS
        if family.name != "text":
            values = {name: score.value for name, score in family.models.items()}
            assert values == {"base": 0.0, "sft": 0.5, "rl": 0.75}, family.name
            assert family.rl_minus_sft == 0.25


def test_text_is_measured_in_nats(finished: tuple[Evaluation, Path]) -> None:
    text = finished[0].families[-1]
    assert text.models["base"].metrics["nats_per_token"] == pytest.approx(2.05)
    assert text.models["sft"].value == pytest.approx(0.1353, abs=1e-4)


def test_mean_reward_is_the_unweighted_mean_of_the_five_verifiable_families(finished: tuple[Evaluation, Path]) -> None:
    mean = finished[0].mean_reward
    assert set(mean.families["rl"]) == {t.family for t in TINY_SUITE if t.is_verifiable}
    assert (mean.sft, mean.rl, mean.rl_minus_sft, mean.n) == (0.5, 0.75, 0.25, 40)
    assert mean.rl_minus_sft_ci is not None
    # Ten of forty items differ by 1: a standard error of about 0.07.
    assert mean.rl_minus_sft_ci[0] == pytest.approx(0.25 - 0.135, abs=0.04)


def test_answers_that_cannot_be_judged_are_in_no_mean_and_counted(finished: tuple[Evaluation, Path]) -> None:
    tasks = [t for t in TINY_SUITE if t.is_verifiable]
    sampled = {
        model: {t.family: read_results(finished[1] / "sampled" / model / f"{t.family}.jsonl") for t in tasks}
        for model in ("sft", "rl")
    }
    family = tasks[0].family
    wrong = [r for r in sampled["rl"][family] if r.metrics["score"] == 0.0]
    lost = {r.key for r in wrong if r.item_id == wrong[0].item_id}
    sampled["rl"][family] = [
        r.model_copy(update={"status": ItemStatus.JUDGE_ERROR, "metrics": {}}) if r.key in lost else r
        for r in sampled["rl"][family]
    ]
    mean = compare_rewards(TINY_SUITE, sampled, confidence=0.95, draws=100, seed=0)
    assert mean.unscored == {"rl": len(lost)}
    # Two of eight items were wrong; without one of them six of seven are right.
    assert mean.families["rl"][family] == pytest.approx(6 / 7)
    assert mean.n == 39


def test_two_workers_write_the_same_bytes_as_one(
    finished: tuple[Evaluation, Path], tmp_path: Path, config: PipelineConfig
) -> None:
    _evaluate(bench(tmp_path, MODELS), config, workers=2)
    assert _files(tmp_path / "out") == _files(finished[1])


def test_run_without_rl_compares_base_and_sft_alone(tmp_path: Path, config: PipelineConfig) -> None:
    evaluation = _evaluate(bench(tmp_path, MODELS[:2]), config, names=("base", "sft"))
    assert evaluation.families[0].rl_minus_sft_ci is None
    assert (evaluation.mean_reward.sft, evaluation.mean_reward.rl) == (0.5, None)
    summary = json.loads(
        summary_text(build_summary(collect({"evaluate": _output("evaluate", _files(tmp_path / "out"))})))
    )
    assert summary["families"][0]["rl"] is None
    assert summary["mean_reward"]["rl_minus_sft_ci"] is None


def test_stop_request_keeps_the_answers_and_the_next_run_asks_only_the_rest(
    finished: tuple[Evaluation, Path], tmp_path: Path, config: PipelineConfig
) -> None:
    polls = iter([False] * 10 + [True] * 1000)
    with pytest.raises(InterruptedAfterSaveError, match="answers are kept"):
        _evaluate(replace(bench(tmp_path, MODELS), should_stop=lambda: next(polls)), config)
    num_kept = sum(len(p.read_bytes().splitlines()) for p in (tmp_path / "log").rglob("*.jsonl"))
    # Ten batches of at most three items, greedy ones with one answer each, sampled ones with `samples_per_item`.
    assert 20 <= num_kept <= 30 * config.evaluation.samples_per_item
    _evaluate(bench(tmp_path, MODELS), config)
    assert _files(tmp_path / "out") == _files(finished[1])


def test_stop_request_reaches_forked_workers(tmp_path: Path, config: PipelineConfig) -> None:
    with pytest.raises(InterruptedAfterSaveError):
        _evaluate(replace(bench(tmp_path, MODELS), should_stop=lambda: True), config, workers=2)


def test_unknown_task_in_the_configuration_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="tiny/counting"):
        task_by_id("tiny/countin")


def test_manifest_metrics_hold_every_family_and_model(finished: tuple[Evaluation, Path]) -> None:
    metrics = headline_metrics(finished[0])
    assert len(metrics) == 13 * 3 + 3
    assert (metrics["evaluation/score/rl/counting"], metrics["evaluation/mean_reward/rl_minus_sft"]) == (0.75, 0.25)


def test_summary_has_exactly_the_fields_that_readers_expect(material: RunMaterial) -> None:
    summary = json.loads(summary_text(build_summary(material, unfinished=["base"])))
    stage_fields = {"name", "status", "seconds", "tokens", "loss_first", "loss_last", "reused"}
    assert stage_fields <= set(summary["stages"][0])
    assert [(s["name"], s["status"]) for s in summary["stages"]] == [
        ("base", "Failed"), ("long-context-sft", "Succeeded"), ("reward-model-text", "Succeeded"),
        ("morl", "Succeeded"), ("evaluate", "Succeeded"),
    ]  # fmt: skip
    assert {"name", "n", "base", "sft", "rl", "rl_minus_sft_ci"} <= set(summary["families"][0])
    assert len(summary["families"][0]["rl_minus_sft_ci"]) == 2
    assert {"sft", "rl", "rl_minus_sft_ci"} <= set(summary["mean_reward"])
    assert {"total_seconds", "peak_pss_bytes"} <= set(summary)
    (reward_model,) = summary["reward_models"]
    assert (reward_model["ci"], reward_model["num_pairs"], reward_model["num_queries"]) == ([0.7, 0.9], 200, 50)
    assert reward_model["by_models"] == {
        "sft_sft": {"pairwise_accuracy": 0.65, "ci": [0.5, 0.8], "num_pairs": 100, "num_queries": 40}
    }
    evaluate_stage = summary["stages"][-1]
    assert (evaluate_stage["loss_first"], evaluate_stage["loss_last"]) == (None, None)


def test_changed_file_of_an_artifact_is_an_error() -> None:
    output = _output("evaluate", {"evaluation.json": b"{}"})
    broken = StageOutput(manifest=output.manifest, uri=output.uri, read_file=lambda _: b"{ }")
    with pytest.raises(DigestMismatchError, match=r"evaluation\.json"):
        broken.read("evaluation.json")


def test_claims_fail_on_a_small_run_for_its_size_and_pass_where_it_learned(material: RunMaterial) -> None:
    summary = json.loads(summary_text(build_summary(material)))
    claims = {c.name: c for c in check(summary)}
    assert claims["loss falls in long-context-sft"].holds
    assert claims["mean reward rises by RL"].holds
    assert claims["boxes of SFT, mean (1 + GIoU) / 2"].holds
    assert claims["held-out pairs of reward-model-text"].holds
    assert not claims["held-out pairs of reward-model-multimodal"].holds
    assert not claims["items of counting"].holds
    assert not claims["counting of SFT"].holds
    assert not claims["loss falls in projector-warmup"].holds
    assert not claims["total_seconds"].holds
