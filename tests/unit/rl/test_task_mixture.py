"""Quotas, prompt order and the easy pool are pure functions with the promised properties."""

from __future__ import annotations

import itertools

import pytest

from mimo_vl.rl.task_mixture import Launch, family_quotas, launches, stream_item
from mimo_vl.vocabulary import RlFamily

F = RlFamily
TINY = {F.VISUAL_REASONING: 1.0, F.TEXT_REASONING: 1.0, F.GROUNDING: 1.0, F.COUNTING: 1.0, F.PREFERENCE_TEXT: 0.25}


def _take(
    count: int, *, pool: tuple[int, ...] = (), share: float = 0.1, position: int = 0, n: int = 50
) -> list[Launch]:
    stream = launches(seed=0, step=3, family=F.COUNTING, num_items=n, position=position, pool=pool, pool_share=share)
    return list(itertools.islice(stream, count))


@pytest.mark.parametrize("num_prompts", [1, 7, 24, 512])
def test_quotas_fill_the_batch_exactly_and_stay_within_one_of_their_ideal(num_prompts: int) -> None:
    for step in range(50):
        quotas = family_quotas(step, num_prompts, TINY)
        assert sum(quotas.values()) == num_prompts
        for family, weight in TINY.items():
            assert abs(quotas[family] - num_prompts * weight / 4.25) < 1.0


def test_quotas_meet_their_weights_over_many_steps() -> None:
    totals = dict.fromkeys(TINY, 0)
    for step in range(500):
        for family, quota in family_quotas(step, 24, TINY).items():
            totals[family] += quota
    for family, weight in TINY.items():
        assert totals[family] / 12000 == pytest.approx(weight / 4.25, abs=0.001)


def test_a_family_of_weight_zero_gets_nothing() -> None:
    assert family_quotas(0, 5, {F.COUNTING: 1.0, F.GROUNDING: 0.0}) == {F.COUNTING: 5}


def test_every_epoch_of_a_stream_is_a_permutation_and_epochs_differ() -> None:
    first = [stream_item(0, F.COUNTING, 20, p) for p in range(20)]
    second = [stream_item(0, F.COUNTING, 20, p) for p in range(20, 40)]
    assert sorted(first) == sorted(second) == list(range(20))
    assert first != second
    assert first != [stream_item(1, F.COUNTING, 20, p) for p in range(20)]


def test_a_stream_continues_where_the_position_says() -> None:
    whole = _take(10)
    assert _take(4, position=6) == whole[6:]


def test_no_prompt_comes_twice_in_a_step_even_when_the_stream_wraps() -> None:
    found = _take(100, n=20, position=13, pool=(3, 5), share=0.5)
    assert sorted(launch.prompt_index for launch in found) == list(range(20))


def test_the_stream_skips_the_pool_and_draws_from_it_at_the_given_share() -> None:
    pool = tuple(range(0, 1000, 2))
    found = _take(400, n=1000, pool=pool, share=0.1)
    drawn = [launch for launch in found if launch.position is None]
    assert all((launch.prompt_index % 2 == 0) == (launch.position is None) for launch in found)
    # Binomial(400, 0.1): standard deviation 6.
    assert 22 <= len(drawn) <= 58


def test_an_empty_pool_leaves_the_stream_untouched() -> None:
    assert [launch.position for launch in _take(5, share=1.0)] == [0, 1, 2, 3, 4]
