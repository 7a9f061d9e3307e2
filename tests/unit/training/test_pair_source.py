"""Every pair once per epoch, all pairs of a prompt in a row, each rank its part of a step."""

from __future__ import annotations

from itertools import groupby
from typing import cast

import pytest

from mimo_vl.data.readers.indexed import IndexedDataset
from mimo_vl.processing.encode import SampleEncoder
from mimo_vl.training.pair_source import PairSet, PairSource
from mimo_vl.training.world import World
from tests.unit.training.pairs import pair

NUM_PAIRS_OF_PROMPT = (3, 1, 6, 2, 4)
PAIRS = [pair(f"q{prompt}", index) for prompt, count in enumerate(NUM_PAIRS_OF_PROMPT) for index in range(count)]


def source(*, pairs_per_step: int = 4, world: World | None = None) -> PairSource:
    return PairSource(
        PairSet(PAIRS, cast("IndexedDataset", None), {}),
        cast("SampleEncoder", None),
        seed=3,
        pairs_per_step=pairs_per_step,
        pairs_per_micro_batch=2,
        world=world or World(),
    )


@pytest.mark.parametrize("epoch", [0, 1, 5])
def test_an_epoch_has_every_pair_once_and_those_of_a_prompt_together(epoch: int) -> None:
    order = source(pairs_per_step=len(PAIRS)).indices(epoch)
    assert sorted(order) == list(range(len(PAIRS)))
    prompts = [prompt for prompt, _ in groupby(order, key=lambda i: PAIRS[i].prompt.id)]
    assert len(prompts) == len(NUM_PAIRS_OF_PROMPT)


def test_epochs_differ_and_repeat_with_their_seed() -> None:
    first, second = (source(pairs_per_step=len(PAIRS)).indices(epoch) for epoch in (0, 1))
    assert first != second
    assert source(pairs_per_step=len(PAIRS)).indices(1) == second


def test_a_step_over_the_end_of_an_epoch_goes_on_with_the_next() -> None:
    whole = source(pairs_per_step=len(PAIRS))
    assert source(pairs_per_step=12).indices(1) == [*whole.indices(0)[12:], *whole.indices(1)[:8]]
