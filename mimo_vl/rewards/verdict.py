"""What a verifier says about one completion, and what it may use to say it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from mimo_vl.answers.extraction import Extraction, T
from mimo_vl.answers.mathematics import MathVerdict
from mimo_vl.config.rewards import RewardsConfig
from mimo_vl.schema.reward import ScoreRequest, ScoreStatus


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """`reward` is None exactly when `status` says that the completion could not be judged."""

    status: ScoreStatus
    reward: float | None
    breakdown: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""


class MathJudge(Protocol):
    """Decides whether a mathematical answer equals the gold one, within a deadline."""

    def judge(self, gold: str, answer: str) -> MathVerdict: ...


@dataclass(frozen=True, kw_only=True)
class RuleContext:
    config: RewardsConfig
    math: MathJudge


@dataclass(frozen=True, kw_only=True)
class Verifier:
    """A rule with the name and version that are recorded with every reward it gives."""

    name: Callable[[RewardsConfig], str]
    version: str
    verify: Callable[[ScoreRequest, RuleContext], Verdict]


def scored(reward: float, **breakdown: float) -> Verdict:
    return Verdict(status=ScoreStatus.SCORED, reward=reward, breakdown=breakdown)


def unparsable(extraction: Extraction[T]) -> Verdict:
    """The completion gives no answer that the rule can read: reward 0."""
    reason = f"{extraction.status}: {extraction.reason}"
    return Verdict(status=ScoreStatus.UNPARSABLE, reward=0.0, reason=reason)


def invalid_reference(request: ScoreRequest, wanted: str) -> Verdict:
    """The reference is wrong, so nothing can be said about the completion."""
    reason = f"reference: got {str(request.reference)[:80]!r}, wanted {wanted}"
    return Verdict(status=ScoreStatus.INVALID_REFERENCE, reward=None, reason=reason)
