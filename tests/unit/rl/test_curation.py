"""Which prompts stay, by hand."""

from __future__ import annotations

from collections.abc import Sequence

from mimo_vl.config.rl import CurateRlConfig
from mimo_vl.rl.curation import PassRate, PromptFate, choose_prompts, pass_rate

KEPT, EASY, NEVER, FILL = PromptFate.KEPT, PromptFate.TOO_EASY, PromptFate.NEVER_SOLVED, PromptFate.KEPT_TO_FILL


def _rates(*groups: Sequence[float | None]) -> list[PassRate]:
    return [pass_rate(f"p{i}", rewards) for i, rewards in enumerate(groups)]


def _choose(rates: list[PassRate], min_prompts: int = 0) -> list[PromptFate]:
    return choose_prompts(rates, CurateRlConfig(max_pass_rate=0.9, min_prompts_per_family=min_prompts))


def test_pass_rate_is_the_mean_reward_and_counts_full_rewards() -> None:
    rate = pass_rate("p", [1.0, 0.5, 0.0, 1.0])
    assert (rate.num_solved, rate.num_answers, rate.mean_reward) == (2, 4, 0.625)


def test_always_solved_and_never_solved_prompts_are_dropped() -> None:
    assert _choose(_rates([1.0, 1.0], [1.0, 0.0], [0.0, 0.0])) == [EASY, KEPT, NEVER]


def test_a_pass_rate_of_exactly_the_limit_stays() -> None:
    assert _choose(_rates([0.9, 0.9], [0.95, 0.9])) == [KEPT, EASY]


def test_when_too_few_remain_unsolved_prompts_stay_first_then_the_least_easy_ones() -> None:
    rates = _rates([1.0, 1.0], [0.0, 0.0], [1.0, 0.0], [0.95, 0.95])
    assert _choose(rates, min_prompts=2) == [EASY, FILL, KEPT, EASY]
    assert _choose(rates, min_prompts=3) == [EASY, FILL, KEPT, FILL]


def test_a_prompt_with_an_unjudged_answer_has_no_pass_rate_and_is_never_used_to_fill() -> None:
    rates = _rates([None, 1.0], [1.0, 0.0])
    assert rates[0].mean_reward is None
    assert _choose(rates, min_prompts=5) == [PromptFate.UNJUDGED, KEPT]
