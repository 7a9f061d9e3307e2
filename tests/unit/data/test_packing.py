from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimo_vl.data.packing import efficiency, level, pack, spread

_COST = st.tuples(st.integers(1, 40), st.integers(0, 60))


def test_best_fit_fills_the_fullest_bin_that_has_room() -> None:
    # 7 and 6 open two bins of 10; 3 fits the first (3 left) exactly; 2 then goes to the second (4 left)
    assert pack([(2, 0), (7, 0), (3, 0), (6, 0)], 10, 0) == [[1, 2], [3, 0]]


def test_the_patch_cap_opens_a_new_bin_although_tokens_are_left() -> None:
    # 60 + 50 patches exceed 100, so each has its own bin; 2 tokens without patches join the one opened last
    assert pack([(4, 50), (4, 60), (2, 0)], 10, 100) == [[1], [0, 2]]


@given(st.lists(_COST, max_size=60))
def test_every_sample_is_in_exactly_one_bin_within_both_capacities(costs: list[tuple[int, int]]) -> None:
    bins = pack(costs, 40, 60)
    assert sorted(i for b in bins for i in b) == list(range(len(costs)))
    for members in bins:
        assert sum(costs[i][0] for i in members) <= 40
        assert sum(costs[i][1] for i in members) <= 60


def test_a_long_tailed_workload_is_filled_to_999_per_mille() -> None:
    rng = np.random.default_rng(0)
    parts = [(6.2, 0.5, 12000), (7.4, 0.6, 5000), (8.2, 0.5, 3000)]
    lengths = np.concatenate([rng.lognormal(m, s, n) for m, s, n in parts]).clip(32, 8192).astype(int)
    costs = np.stack([lengths, np.zeros_like(lengths)], axis=1)
    assert efficiency(pack(costs, 8192, 0), costs, 8192) >= 0.999


def test_a_sample_that_fits_no_row_is_named() -> None:
    with pytest.raises(ValueError, match="number 1, 11 tokens"):
        pack([(5, 0), (11, 0)], 10, 10)
    with pytest.raises(ValueError, match="raise sequence_length"):
        pack([(5, 11)], 10, 10)


def test_no_samples_give_no_bins() -> None:
    assert pack([], 10, 10) == []


def test_ranks_get_equally_many_rows_and_level_loads() -> None:
    # 9 | 8 7 -> rank 1 | 6 ... : 9+5+1 = 15 and 8+7+1 would need another deal; greedy: [9, 6, 1], [8, 7, 2]
    loads = [9, 1, 8, 7, 6, 2]
    ranks = level(loads, 2)
    assert [len(r) for r in ranks] == [3, 3]
    assert sorted(ranks[0] + ranks[1]) == list(range(6))
    assert abs(sum(loads[i] for i in ranks[0]) - sum(loads[i] for i in ranks[1])) <= 1


def test_rows_that_cannot_be_dealt_evenly_are_refused() -> None:
    with pytest.raises(ValueError, match=r"3 rows .* 2 ranks"):
        level([1, 2, 3], 2)


def test_spread_puts_both_kinds_of_a_shuffled_mixture_into_every_row() -> None:
    # 2,800 tokens in 8 rows of 400: in order of length the first three rows would hold long samples only.
    costs = [(50, 0)] * 40 + [(20, 0)] * 40
    costs = [costs[i] for i in np.random.default_rng(0).permutation(80)]
    bins, left_over = spread(costs, 8, 400, 1)
    assert left_over == []
    assert all({costs[i][0] for i in b} == {20, 50} for b in bins)
    assert sorted(i for b in bins for i in b) == list(range(80))


def test_spread_returns_what_fits_no_row() -> None:
    # One bin of 100: 60 fits, 50 does not, 40 fills the gap.
    assert spread([(60, 0), (50, 0), (40, 0)], 1, 100, 1) == ([[0, 2]], [1])


def test_spread_respects_the_patch_cap() -> None:
    bins, left_over = spread([(10, 6), (10, 6), (10, 0)], 1, 100, 10)
    assert bins == [[0, 2]]
    assert left_over == [1]
