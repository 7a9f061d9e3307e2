from __future__ import annotations

import time

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


def test_each_row_goes_to_the_rank_with_the_smallest_load_that_has_room() -> None:
    # 9 -> rank 0; 5, 1 -> rank 1, which is full then although its load is smaller; 1 -> rank 0.
    assert level([1, 5, 9, 1], 2) == [[2, 3], [0, 1]]


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


def test_spread_levels_tokens_and_patches_although_tokens_alone_bind() -> None:
    # 16 texts, 32 small and 16 large pictures in 8 rows; 2 + 4 + 2 of them come to a row, with 4 * 16 + 2 * 64 patches.
    costs = [(40, 0)] * 16 + [(20, 16)] * 32 + [(30, 64)] * 16
    costs = [costs[i] for i in np.random.default_rng(0).permutation(64)]
    # The capacity is so large that all 64 samples are among the first 85 %.
    bins, left_over = spread(costs, 8, 400, 10_000)
    assert left_over == []
    tokens, patches = ([sum(costs[i][k] for i in b) for b in bins] for k in (0, 1))
    # Uneven by less than one large picture.
    assert max(patches) - min(patches) < 64
    assert max(tokens) - min(tokens) <= 40


def test_a_full_window_has_even_patches_and_is_filled() -> None:
    costs = _mixed(np.random.default_rng(0), 64 * 768 * 65 // 64)
    bins, _ = spread(costs, 64, 768, 1536)
    tokens, patches = (np.array([sum(costs[i][k] for i in b) for b in bins]) for k in (0, 1))
    assert tokens.mean() / 768 > 0.995
    # About 15 samples of 0, 16, 64 or 192 patches a row (standard deviation 55): dealt out blindly they would vary by
    # 55 * 15 ** 0.5 = 213 from row to row; dealt out by tokens alone they vary by 203.
    assert patches.std() < 110


def test_the_rows_of_a_large_step_are_spread_in_seconds() -> None:
    # 2,560 rows are one step at the report's batch size. To look at each bin for each sample takes over a minute.
    costs = _mixed(np.random.default_rng(0), 2560 * 768)
    assert len(costs) > 40_000
    started_s = time.process_time()
    bins, left_over = spread(costs, 2560, 768, 1536)
    assert time.process_time() - started_s < 10
    assert sum(map(len, bins)) + len(left_over) == len(costs)


def _mixed(rng: np.random.Generator, num_tokens: int) -> list[tuple[int, int]]:
    """Texts, pictures of two sizes and videos, as the tiny profile has them."""
    costs: list[tuple[int, int]] = []
    total = 0
    while total < num_tokens:
        patches = (0, 16, 64, 192)[int(np.searchsorted([0.25, 0.6, 0.9], rng.random()))]
        words = int(rng.integers(15, 120)) if patches == 0 else int(rng.integers(12, 45))
        costs.append((patches // 4 + words, patches))
        total += costs[-1][0]
    return costs


def test_spread_returns_what_fits_no_row() -> None:
    # One bin of 100: 60 fits, 50 does not, 40 fills the gap.
    assert spread([(60, 0), (50, 0), (40, 0)], 1, 100, 1) == ([[0, 2]], [1])


def test_spread_respects_the_patch_cap() -> None:
    bins, left_over = spread([(10, 6), (10, 6), (10, 0)], 1, 100, 10)
    assert bins == [[0, 2]]
    assert left_over == [1]
