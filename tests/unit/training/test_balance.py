"""How even is a step among its ranks, and how full are its rows?"""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from mimo_vl.training.callbacks.balance import imbalance, rank_balance
from mimo_vl.training.callbacks.callback import StepReport
from mimo_vl.training.callbacks.history import History
from mimo_vl.training.callbacks.reporting import Reporting
from mimo_vl.training.callbacks.throughput import Throughput
from mimo_vl.training.flops import FlopCount
from mimo_vl.training.train_step import StepResult
from mimo_vl.training.world import World


def _report(step: int, *, num_tokens: int, num_patches: int) -> StepReport:
    result = StepResult(
        loss=1.0,
        loss_by_group={},
        num_targets=1,
        num_tokens=num_tokens,
        num_pairs=1,
        num_patches=num_patches,
        grad_norm=1.0,
        is_stop_requested=False,
    )
    counts = {"rank_tokens": num_tokens, "rank_patches": num_patches}
    return StepReport(step=step, num_steps=5, result=result, step_s=0.5, data_wait_s=0.0, **counts)


def test_the_fullest_rank_is_held_against_the_mean() -> None:
    # Mean 100; the fullest has 150.
    assert imbalance([50, 150, 100]) == 1.5
    assert imbalance([70, 70]) == 1.0


def test_one_rank_that_has_all_counts_as_many_times_the_mean_as_there_are_ranks() -> None:
    assert imbalance([0, 0, 0, 8]) == 4.0


def test_where_nobody_has_any_nobody_waits() -> None:
    assert imbalance([0, 0]) == 1.0
    values = rank_balance(_report(1, num_tokens=9, num_patches=0), World())
    assert values == {"train/token_imbalance": 1.0, "train/patch_imbalance": 1.0}


class _Sink:
    def __init__(self) -> None:
        self.logged: dict[int, Mapping[str, float]] = {}

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        self.logged[step] = metrics


@pytest.mark.parametrize(("capacity", "wanted"), [(128, 0.75), (0, None)])
def test_the_filled_part_of_the_rows_is_logged_where_there_are_rows(capacity: int, wanted: float | None) -> None:
    throughput, sink = Throughput(FlopCount(per_token=1.0, per_pair=1.0, per_patch=1.0), peak_flops=None), _Sink()
    reporting = Reporting(
        lambda *_, **__: None,
        sink,
        throughput,
        History(),
        every_steps=3,
        row_tokens_per_step=capacity,
        world=World(),
    )
    for step in range(1, 6):
        report = _report(step, num_tokens=96, num_patches=16)
        throughput.on_step_end(report)
        reporting.on_step_end(report)
    # Every third step and the last.
    assert list(sink.logged) == [3, 5]
    assert sink.logged[3].get("train/packing_efficiency") == wanted
    assert sink.logged[5]["train/patch_imbalance"] == 1.0
