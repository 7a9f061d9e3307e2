"""Which RL prompts are worth training on? Pass rates of the SFT model decide (report 3.1; MiMo-7B report).

A prompt is answered n times. Its pass rate is the mean reward: k / n for 0/1 rewards, the only sensible reading for
GIoU and temporal IoU. Dropped: pass rate above `max_pass_rate` (too easy), and 0 (nothing to reinforce). A point
estimate, as in the report: with n = 8 even 8 of 8 leaves a Wilson lower bound of 0.68, so k and n are stored.
If fewer than `min_prompts_per_family` would remain, unsolved prompts are kept after all, then the least easy ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from mimo_vl.config.rl import CurateRlConfig
from mimo_vl.schema.record import Record


class PromptFate(StrEnum):
    KEPT = "kept"
    TOO_EASY = "too_easy"
    NEVER_SOLVED = "never_solved"
    # At least one answer could not be judged, so there is no pass rate.
    UNJUDGED = "unjudged"
    # Would have been dropped, but too few remain.
    KEPT_TO_FILL = "kept_to_fill"


class PassRate(Record):
    """num_solved: answers with full reward (k of n); mean_reward: the pass rate."""

    prompt_id: str
    num_answers: int
    num_solved: int
    mean_reward: float | None
    rewards: tuple[float | None, ...]


def is_solved(reward: float) -> bool:
    """Full reward; partial credit, such as for a box that overlaps, is none."""
    return reward >= 1.0


def pass_rate(prompt_id: str, rewards: Sequence[float | None]) -> PassRate:
    known = [r for r in rewards if r is not None]
    return PassRate(
        prompt_id=prompt_id,
        num_answers=len(rewards),
        num_solved=sum(is_solved(r) for r in known),
        mean_reward=sum(known) / len(known) if len(known) == len(rewards) else None,
        rewards=tuple(rewards),
    )


def choose_prompts(rates: Sequence[PassRate], config: CurateRlConfig) -> list[PromptFate]:
    """The fate of each prompt of a family, in order."""
    fates = [_first_fate(rate, config.max_pass_rate) for rate in rates]
    missing = config.min_prompts_per_family - fates.count(PromptFate.KEPT)
    for index in _fill_order(rates, fates)[: max(0, missing)]:
        fates[index] = PromptFate.KEPT_TO_FILL
    return fates


def _first_fate(rate: PassRate, max_pass_rate: float) -> PromptFate:
    if rate.mean_reward is None:
        return PromptFate.UNJUDGED
    if rate.mean_reward > max_pass_rate:
        return PromptFate.TOO_EASY
    return PromptFate.KEPT if rate.mean_reward > 0.0 else PromptFate.NEVER_SOLVED


def _fill_order(rates: Sequence[PassRate], fates: Sequence[PromptFate]) -> list[int]:
    """Unsolved prompts in their order, then easy ones from the hardest on."""
    unsolved = [i for i, fate in enumerate(fates) if fate is PromptFate.NEVER_SOLVED]
    easy = [(rates[i].mean_reward or 0.0, i) for i, fate in enumerate(fates) if fate is PromptFate.TOO_EASY]
    return unsolved + [i for _, i in sorted(easy)]
