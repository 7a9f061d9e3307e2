"""summary.json: what a run reached, in numbers, without times (the controller adds those)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping

from mimo_vl.evaluation.collect import RunMaterial, StageOutput
from mimo_vl.schema.evaluation import (
    FamilyComparison,
    FamilySummary,
    MeanReward,
    PairAccuracy,
    RewardModelSummary,
    StageSummary,
    Summary,
)
from mimo_vl.vocabulary import StageName


def build_summary(material: RunMaterial, *, unfinished: Iterable[str] = ()) -> Summary:
    """The same artifacts give the same bytes. `unfinished`: stages that were started and left no output."""
    stages = [_stage(name, output) for name, output in material.stages.items()]
    stages += [StageSummary(name=name, status="Failed") for name in unfinished]
    order = {str(name): position for position, name in enumerate(StageName)}
    stages.sort(key=lambda s: (order.get(s.name, len(order)), s.name))
    evaluation = material.evaluation
    return Summary(
        stages=tuple(stages),
        families=tuple(_family(f) for f in evaluation.families) if evaluation else (),
        mean_reward=evaluation.mean_reward if evaluation else MeanReward(),
        reward_models=tuple(reward_models(material)),
    )


def reward_models(material: RunMaterial) -> Iterator[RewardModelSummary]:
    """Of every stage whose manifest has a pairwise accuracy."""
    for name, output in material.stages.items():
        found = pair_accuracies(output.manifest.metrics)
        if "" in found:
            over_all = found.pop("")
            yield RewardModelSummary(name=name, by_models=found, **over_all.model_dump())


def pair_accuracies(metrics: Mapping[str, float]) -> dict[str, PairAccuracy]:
    """By the models whose answers were compared, as in `sft_sft`; "" = all pairs."""
    heading = "pairwise_accuracy"
    suffixes = sorted(name.removeprefix(heading) for name in metrics if name.startswith(heading))
    return {
        suffix.removeprefix("_"): PairAccuracy(
            pairwise_accuracy=metrics[f"{heading}{suffix}"],
            ci=(metrics[f"ci_low{suffix}"], metrics[f"ci_high{suffix}"]),
            num_pairs=int(metrics[f"heldout_pairs{suffix}"]),
            num_queries=int(metrics[f"heldout_queries{suffix}"]),
        )
        for suffix in suffixes
    }


def _stage(name: str, output: StageOutput) -> StageSummary:
    metrics = output.manifest.metrics
    return StageSummary(
        name=name,
        status="Succeeded",
        tokens=int(metrics["tokens"]) if "tokens" in metrics else None,
        steps=int(metrics["steps"]) if "steps" in metrics else None,
        loss_first=metrics.get("loss_first"),
        loss_last=metrics.get("loss_last"),
        digest=output.manifest.content_digest,
    )


def _family(family: FamilyComparison) -> FamilySummary:
    models = family.models
    value = {name: score.value for name, score in models.items()}
    ci = {name: score.ci for name, score in models.items()}
    return FamilySummary(
        name=family.name,
        n=family.n,
        base=value.get("base"),
        sft=value.get("sft"),
        rl=value.get("rl"),
        rl_minus_sft_ci=family.rl_minus_sft_ci,
        metric=family.metric,
        base_ci=ci.get("base"),
        sft_ci=ci.get("sft"),
        rl_ci=ci.get("rl"),
        rl_minus_sft_ci_uncorrected=family.rl_minus_sft_ci_uncorrected,
        metrics={name: dict(score.metrics) for name, score in models.items()},
    )


def summary_text(summary: Summary) -> str:
    """Readable JSON with a stable order of fields."""
    return json.dumps(summary.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"
