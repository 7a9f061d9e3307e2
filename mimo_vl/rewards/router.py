"""Which reward judges a request: a rule or a reward model, by task (report 3.3). Every reward is in [0, 1] or null.

`Router` does it all in one process. The service uses its two halves, `RuleRouter` and `preference_results`, in
processes of their own.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from mimo_vl.config.rewards import RewardsConfig
from mimo_vl.errors import MimoError
from mimo_vl.rewards.mapping import rank_in_group, sigmoid
from mimo_vl.rewards.requests import prompt_key
from mimo_vl.rewards.verdict import MathJudge, RuleContext
from mimo_vl.rewards.verifiers.registry import build_registry
from mimo_vl.schema.reward import ScoreRequest, ScoreResult, ScoreStatus
from mimo_vl.vocabulary import RewardTask

logger = logging.getLogger(__name__)

PREFERENCE_TASKS = (RewardTask.PREFERENCE_TEXT, RewardTask.PREFERENCE_MULTIMODAL)
NO_VERSION = "none"


@dataclass(frozen=True)
class RawScore:
    """Bradley-Terry score of one completion; None with a reason where it could not be scored."""

    value: float | None
    reason: str = ""


class PreferenceScorer(Protocol):
    """A reward model: one raw score per request, in order."""

    version: str

    def raw_scores(self, requests: Sequence[ScoreRequest]) -> list[RawScore]: ...


class RuleRouter:
    """Judges the rule tasks."""

    def __init__(self, config: RewardsConfig, math_judge: MathJudge) -> None:
        self._config = config
        self._context = RuleContext(config=config, math=math_judge)
        self._registry = build_registry(config)

    def versions(self) -> dict[RewardTask, str]:
        return {task: f"{v.name(self._config)}/{v.version}" for task, v in self._registry.items()}

    def score(self, request: ScoreRequest) -> ScoreResult:
        """Never raises on the content of a completion: a verifier is total over strings."""
        start = time.perf_counter()
        verifier = self._registry.get(request.task)
        if verifier is None:
            reason = f"no verifier for task {request.task}; name it in rewards.custom_verifier"
            return unjudged(request, ScoreStatus.UNAVAILABLE, reason, self._config)
        verdict = verifier.verify(request, self._context)
        return ScoreResult(
            id=request.id,
            reward=verdict.reward,
            status=verdict.status,
            breakdown=dict(verdict.breakdown),
            reward_name=verifier.name(self._config),
            version=verifier.version,
            latency_ms=_milliseconds_since(start),
            reason=verdict.reason,
        )


def preference_name(config: RewardsConfig) -> str:
    return f"bradley_terry_{config.preference_mapping}"


def preference_results(
    requests: Sequence[ScoreRequest],
    raw_scores: Sequence[RawScore],
    config: RewardsConfig,
    *,
    version: str,
    latency_ms: float = 0.0,
) -> list[ScoreResult]:
    """Map raw scores to rewards. With `rank_in_group` all completions of a prompt must be in this one batch."""
    if len(raw_scores) != len(requests):
        raise ValueError(f"{len(raw_scores)} scores for {len(requests)} requests; a reward model scores each once")
    usable = [i for i, raw in enumerate(raw_scores) if raw.value is not None and math.isfinite(raw.value)]
    values = [raw_scores[i].value or 0.0 for i in usable]
    if config.preference_mapping == "sigmoid":
        rewards = [sigmoid(value) for value in values]
    else:
        rewards = rank_in_group(values, [prompt_key(requests[i]) for i in usable])
    results = [
        unjudged(request, ScoreStatus.UNAVAILABLE, raw.reason or "the score is not finite", config)
        for request, raw in zip(requests, raw_scores, strict=True)
    ]
    for i, value, reward in zip(usable, values, rewards, strict=True):
        results[i] = ScoreResult(
            id=requests[i].id,
            reward=reward,
            status=ScoreStatus.SCORED,
            breakdown={"score": value},
            reward_name=preference_name(config),
            version=version,
            latency_ms=latency_ms,
        )
    return results


def unjudged(request: ScoreRequest, status: ScoreStatus, reason: str, config: RewardsConfig) -> ScoreResult:
    """Reward null: nothing is known about the completion, so nothing may be trained on it."""
    name = preference_name(config) if request.task in PREFERENCE_TASKS else str(request.task)
    return ScoreResult(id=request.id, status=status, reward_name=name, version=NO_VERSION, reason=reason)


class Router:
    """Scores a batch in this process. A reward model that fails leaves the other tasks untouched."""

    def __init__(
        self,
        config: RewardsConfig,
        math_judge: MathJudge,
        scorers: Mapping[RewardTask, PreferenceScorer] | None = None,
    ) -> None:
        self._config = config
        self._rules = RuleRouter(config, math_judge)
        self._scorers = dict(scorers or {})

    def score(self, requests: Sequence[ScoreRequest]) -> list[ScoreResult]:
        """One result per request, in order."""
        results: dict[int, ScoreResult] = {}
        for task in PREFERENCE_TASKS:
            indices = [i for i, r in enumerate(requests) if r.task is task]
            if indices:
                scored = self._preference(task, [requests[i] for i in indices])
                results.update(zip(indices, scored, strict=True))
        return [results[i] if i in results else self._rules.score(r) for i, r in enumerate(requests)]

    def _preference(self, task: RewardTask, requests: list[ScoreRequest]) -> list[ScoreResult]:
        scorer = self._scorers.get(task)
        if scorer is None:
            reason = f"no reward model for {task} is configured"
            return [unjudged(r, ScoreStatus.UNAVAILABLE, reason, self._config) for r in requests]
        start = time.perf_counter()
        try:
            raw = scorer.raw_scores(requests)
        except MimoError as error:
            return [unjudged(r, ScoreStatus.UNAVAILABLE, str(error), self._config) for r in requests]
        latency_ms = _milliseconds_since(start) / len(requests)
        return preference_results(requests, raw, self._config, version=scorer.version, latency_ms=latency_ms)


def _milliseconds_since(start: float) -> float:
    return (time.perf_counter() - start) * 1000
