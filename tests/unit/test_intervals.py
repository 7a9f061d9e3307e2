"""Standard errors and intervals of shares, against scipy and against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mimo_vl.intervals import clustered_wilson, standard_error, wilson


def _scores(n: int = 50, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).beta(2.0, 3.0, size=n)


def test_standard_error_equals_scipys_sem() -> None:
    assert standard_error(_scores()) == pytest.approx(stats.sem(_scores()))


def test_clusters_of_one_change_nothing_and_copies_of_an_item_widen_the_error() -> None:
    scores = _scores()
    alone = standard_error(scores, clusters=[str(i) for i in range(50)])
    assert alone == pytest.approx(standard_error(scores))
    # Every item four times, clustered: (n - 1) bookkeeping aside, the error is that of the items themselves.
    copied = np.repeat(scores, 4)
    clustered = standard_error(copied, clusters=[str(i // 4) for i in range(200)])
    assert clustered == pytest.approx(standard_error(scores), rel=0.02)
    assert standard_error(copied) < 0.6 * clustered


@pytest.mark.parametrize(("successes", "n"), [(0, 64), (64, 64), (7, 20), (150, 200)])
def test_wilson_equals_scipys(successes: int, n: int) -> None:
    expected = stats.binomtest(successes, n).proportion_ci(0.95, method="wilson")
    assert wilson(successes, n, 0.95) == pytest.approx((expected.low, expected.high))


def test_pairs_of_one_query_that_stand_or_fall_together_count_as_one() -> None:
    # 40 queries, 30 of them right, six pairs each: no more is known than of 40 pairs.
    scores = [1.0] * 180 + [0.0] * 60
    queries = [f"q{i // 6}" for i in range(240)]
    expected = stats.binomtest(30, 40).proportion_ci(0.95, method="wilson")
    got = clustered_wilson(scores, queries, 0.95)
    assert got == pytest.approx((expected.low, expected.high), abs=2e-3)
    assert got[0] < wilson(180, 240, 0.95)[0] - 0.05


def test_pairs_of_queries_of_their_own_get_wilsons_interval() -> None:
    scores = [1.0] * 15 + [0.0] * 5
    assert clustered_wilson(scores, [f"q{i}" for i in range(20)], 0.95) == pytest.approx(wilson(15, 20, 0.95))


def test_differences_within_a_query_do_not_narrow_the_interval() -> None:
    scores = [1.0, 0.0] * 10
    assert clustered_wilson(scores, [f"q{i // 2}" for i in range(20)], 0.95) == pytest.approx(wilson(10, 20, 0.95))


def test_where_all_pairs_are_right_the_queries_count() -> None:
    got = clustered_wilson([1.0] * 60, [f"q{i // 6}" for i in range(60)], 0.95)
    assert got == pytest.approx(wilson(10, 10, 0.95))
