"""Turn responses into scored items and scored items into one number per family, errors kept apart."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mimo_vl.evaluation.response_log import Response
from mimo_vl.evaluation.scorers import scorer_named
from mimo_vl.evaluation.statistics import likelihood_scores, mean_estimate
from mimo_vl.evaluation.task import EvalItem, ItemScore, Method, Scorers, TaskSpec, prompt_text
from mimo_vl.intervals import Scores
from mimo_vl.schema.evaluation import UNSCORED, ItemResult, ItemStatus, ModelScore

# The headline of every scorer; other metrics are shown beside it.
HEADLINE = "score"


def score_responses(
    task: TaskSpec, items: Sequence[EvalItem], responses: Sequence[Response], scorers: Scorers
) -> list[ItemResult]:
    """One result per response, in order. Scoring needs no model: a log can be scored again at any time."""
    by_id = {item.sample.id: item for item in items}
    return [_score_one(task, by_id[response.item_id], response, scorers) for response in responses]


def aggregate(task: TaskSpec, results: Sequence[ItemResult], confidence: float) -> ModelScore:
    """Headline with its interval over items, secondary metrics, counts by status.

    Raises:
        ValueError: no item could be scored; a family without a number is an error, not a zero.
    """
    scored = [r for r in results if r.status not in UNSCORED]
    if not scored:
        reasons = sorted({r.reason for r in results})[:3]
        raise ValueError(f"task {task.id}: none of {len(results)} items was scored; reasons: {reasons}")
    values = np.asarray(list(item_scores(task, scored).values()))
    estimate = mean_estimate(values, confidence)
    num_items = len({r.item_id for r in results})
    return ModelScore(
        value=estimate.value,
        ci=estimate.interval,
        n=estimate.n,
        method=estimate.method,
        metrics=_secondary(task, scored),
        statuses=dict(sorted(Counter(r.status.value for r in results).items())),
        lower_bound=float(values.sum()) / num_items,
        is_complete=len(scored) == len(results),
    )


def item_scores(task: TaskSpec, results: Sequence[ItemResult]) -> dict[str, float]:
    """One headline value per scored item: the mean over its samples (the item is the unit of all statistics)."""
    scored = [r for r in results if r.status not in UNSCORED]
    if task.method is Method.LIKELIHOOD:
        values: Scores = likelihood_scores([r.metrics["nats"] for r in scored], [r.num_tokens for r in scored])
        return dict(zip([r.item_id for r in scored], values.tolist(), strict=True))
    samples: dict[str, list[float]] = {}
    for result in scored:
        samples.setdefault(result.item_id, []).append(result.metrics[HEADLINE])
    return {item_id: sum(s) / len(s) for item_id, s in samples.items()}


def write_results(path: Path, results: Sequence[ItemResult]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(r.to_json() + b"\n" for r in results))


def read_results(path: Path) -> list[ItemResult]:
    return [ItemResult.from_json(line) for line in path.read_bytes().splitlines()]


def _score_one(task: TaskSpec, item: EvalItem, response: Response, scorers: Scorers) -> ItemResult:
    name = task.scorer if task.method is Method.LIKELIHOOD else item.sample.meta.get("scorer", task.scorer)
    verdict = _verdict(name, item, response, scorers)
    return ItemResult(
        key=response.key,
        item_id=response.item_id,
        sample_index=response.sample_index,
        prompt=prompt_text(item.sample),
        response=response.text,
        reference=item.sample.reference or "",
        scorer=name,
        status=verdict.status,
        parsed=verdict.parsed,
        metrics=dict(verdict.metrics),
        num_tokens=response.num_tokens,
        reason=response.error or response.finish_reason,
    )


def _verdict(scorer: str, item: EvalItem, response: Response, scorers: Scorers) -> ItemScore:
    if response.error:
        return ItemScore(status=ItemStatus.GENERATION_ERROR)
    if response.nats is not None:
        return ItemScore(metrics={HEADLINE: math.exp(-response.nats / response.num_tokens), "nats": response.nats})
    return scorer_named(scorers, scorer)(item, response.text)


def _secondary(task: TaskSpec, scored: Sequence[ItemResult]) -> Mapping[str, float]:
    if task.method is Method.LIKELIHOOD:
        total = sum(r.metrics["nats"] for r in scored)
        return {"nats_per_token": total / sum(r.num_tokens for r in scored)}
    names = sorted({name for r in scored for name in r.metrics if name != HEADLINE})
    means = {}
    for name in names:
        values = [r.metrics[name] for r in scored if name in r.metrics]
        means[name] = sum(values) / len(values)
    means["mean_tokens"] = sum(r.num_tokens for r in scored) / len(scored)
    means["token_limit_rate"] = sum(r.reason == "length" for r in scored) / len(scored)
    return means
