"""Waves: exact batches in prompt order, bounded work, nothing judged silently, state moved only by what counted."""

from __future__ import annotations

import pytest

from mimo_vl.config.rl import RlConfig
from mimo_vl.errors import WeightVersionError
from mimo_vl.rl.rollout import RolloutBatch, RolloutCollector
from mimo_vl.rl.rollout_state import FamilyState, RolloutState
from mimo_vl.rl.task_mixture import stream_item

from .builders import COUNTING, GROUNDING, FakeBook, FakeEngines, FakeScorer, Verdicts, config

MIXED, SOLVED, FAILED = (0.0, 1.0), (1.0, 1.0), (0.0, 0.0)


def _order(count: int, num_items: int = 100) -> list[int]:
    return [stream_item(0, COUNTING, num_items, p) for p in range(count)]


def _collect(
    verdicts: Verdicts,
    rl: RlConfig | None = None,
    *,
    state: RolloutState | None = None,
    fails_once: tuple[int, ...] = (),
    engines: FakeEngines | None = None,
) -> RolloutBatch:
    collector = RolloutCollector(
        rl or config(),
        engines=engines or FakeEngines(),
        scorer=FakeScorer(verdicts, fails_once),
        prompts=FakeBook(),
        seed=0,
    )
    return collector.collect(state or RolloutState(), step=0, weight_version=0)


def _indices(batch: RolloutBatch) -> list[int]:
    return [g.prompt_index for g in batch.groups]


def test_one_wave_suffices_when_every_group_is_valid() -> None:
    engines = FakeEngines()
    batch = _collect(lambda _: MIXED, engines=engines)
    assert engines.waves == [_order(4)]
    assert _indices(batch) == _order(4)
    assert batch.state.families[COUNTING] == FamilyState(position=4)


def test_groups_without_signal_are_replaced_by_the_next_prompts_in_order() -> None:
    order = _order(8)
    batch = _collect(lambda i: FAILED if i in (order[1], order[2]) else MIXED)
    # Wave 1: prompts 0-3, two valid of four; wave 2: 2 / 0.5 = 4 more prompts, the first two of them fill the batch.
    assert _indices(batch) == [order[0], order[3], order[4], order[5]]
    assert batch.num_waves == 2
    assert batch.tallies[COUNTING].num_without_signal == 2
    assert len(batch.tallies[COUNTING].launched) == 8
    # Prompts 6 and 7 were rolled out in vain: the next step begins with them.
    assert batch.state.families[COUNTING].position == 6


def test_after_the_last_wave_a_short_batch_is_accepted() -> None:
    order = _order(40)
    batch = _collect(lambda i: MIXED if i == order[2] else FAILED, config(max_waves=3))
    # Waves of 4, ceil(3 / (1/3)) = 9 and 9 prompts.
    assert _indices(batch) == [order[2]]
    assert batch.num_waves == 3
    assert batch.state.families[COUNTING].position == 22


def test_an_unknown_reward_is_asked_once_more() -> None:
    order = _order(4)
    batch = _collect(lambda _: MIXED, fails_once=(order[1],))
    assert _indices(batch) == order
    assert batch.num_rescored == 1
    assert batch.tallies[COUNTING].num_dropped == 0


def test_a_group_that_stays_unknown_is_dropped_whole_and_counted() -> None:
    order = _order(6)
    batch = _collect(lambda i: (None, 1.0) if i == order[0] else MIXED)
    assert _indices(batch) == order[1:5]
    assert batch.tallies[COUNTING].num_dropped == 1
    assert batch.tallies[COUNTING].num_without_signal == 0


def test_completions_of_another_weight_version_are_an_error() -> None:
    with pytest.raises(WeightVersionError, match=r"versions \[3\], wanted 0"):
        _collect(lambda _: MIXED, engines=FakeEngines(version=3))


def test_solved_prompts_move_to_the_easy_pool_only_if_they_counted() -> None:
    order = _order(8)
    batch = _collect(lambda i: SOLVED if i in (order[1], order[5], order[7]) else MIXED)
    # Batch = 0, 2, 3, 4: the second wave (1 / 0.75 -> 2 prompts) ends at 5, and 4 already fills the batch.
    assert _indices(batch) == [order[0], order[2], order[3], order[4]]
    assert batch.state.families[COUNTING] == FamilyState(position=5, easy_pool=(order[1],))


def test_a_pool_prompt_that_is_no_longer_solved_returns_to_the_stream() -> None:
    state = RolloutState(families={COUNTING: FamilyState(position=0, easy_pool=(7,))})
    batch = _collect(lambda _: MIXED, config(easy_pool_probability=1.0), state=state)
    assert _indices(batch)[0] == 7
    assert 7 not in _indices(batch)[1:]
    assert batch.state.families[COUNTING].easy_pool == ()


def test_each_family_fills_its_own_quota() -> None:
    rl = config(family_weights={COUNTING: 1.0, GROUNDING: 1.0}, prompts_per_step=6)
    batch = _collect(lambda _: MIXED, rl)
    assert [g.family for g in batch.groups] == [COUNTING] * 3 + [GROUNDING] * 3


def test_the_same_state_and_seed_give_the_same_batch() -> None:
    first = _collect(lambda i: MIXED if i % 3 else FAILED)
    second = _collect(lambda i: MIXED if i % 3 else FAILED)
    assert (first.groups, first.state) == (second.groups, second.state)
