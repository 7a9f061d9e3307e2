"""Series of several attempts, made small, and the charts that they make."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mimo_vl.reporting.chart_groups import charts
from mimo_vl.reporting.curves import MAX_NODES, AttemptMetrics, Series, StageCurves, downsample, stage_curves
from mimo_vl.reporting.svg import curve_chart, nice_ticks, short_number
from mimo_vl.tracking.journal import metrics_entry


def _attempt(*points: tuple[int, float], name: str = "loss"):
    metrics = AttemptMetrics()
    for step, value in points:
        metrics.add(metrics_entry({name: value}, step, 0))
    return metrics


def _series(values, steps=None) -> Series:
    steps = np.arange(len(values), dtype=float) if steps is None else np.array(steps, dtype=float)
    return Series(steps=steps, values=np.array(values, dtype=float))


def test_what_a_later_attempt_measured_again_is_kept_apart() -> None:
    # Attempt 1 got to step 4, attempt 2 resumed from the checkpoint of step 2.
    curves = stage_curves("s", [_attempt((1, 9.0), (2, 8.0), (3, 7.0), (4, 6.0)), _attempt((3, 7.5), (4, 6.5))])
    assert curves is not None
    assert curves.series["loss"].values.tolist() == [9.0, 8.0, 7.5, 6.5]
    assert curves.replaced["loss"].values.tolist() == [7.0, 6.0]


def test_the_machine_of_every_attempt_is_shown() -> None:
    name = "system/process_pss"
    curves = stage_curves("s", [_attempt((0, 1.0), (1, 2.0), name=name), _attempt((0, 3.0), name=name)])
    assert curves is not None
    assert curves.series[name].values.tolist() == [1.0, 3.0, 2.0]
    assert curves.replaced == {}


def test_values_that_are_not_finite_are_left_out_and_counted() -> None:
    curves = stage_curves("s", [_attempt((1, 1.0), (2, math.nan), (3, math.inf), (4, 2.0))])
    assert curves is not None
    assert curves.series["loss"].values.tolist() == [1.0, 2.0]
    assert curves.series["loss"].num_left_out == 2


def test_a_single_point_is_no_curve() -> None:
    assert stage_curves("s", [_attempt((1, 1.0))]) is None


def test_many_points_become_means_whose_extremes_stay_visible() -> None:
    values = np.zeros(10_000)
    values[5000] = 1000.0
    band = downsample(_series(values), max_points=100)
    assert len(band.steps) == 100
    # The bucket of 100 steps around the peak: mean 10, high 1000.
    assert (band.mean.max(), band.high.max(), band.low.max()) == (10.0, 1000.0, 0.0)
    assert band.steps[0] == pytest.approx(49.5)


def test_few_points_stay_as_they_are() -> None:
    band = downsample(_series([3.0, 1.0, 2.0]))
    assert band.mean.tolist() == [3.0, 1.0, 2.0]


def _of_node(node: int, *, num_gpus: int, num_steps: int = 2) -> AttemptMetrics:
    """Use of GPU g: 10 g + step."""
    metrics = AttemptMetrics()
    for step in range(num_steps):
        use = {f"system/gpu_utilization_percentage/node-{node}/gpu-{g}": 10.0 * g + step for g in range(num_gpus)}
        metrics.add(metrics_entry({**use, f"system/process_pss/node-{node}": float(node)}, step, 0))
    return metrics


def test_the_gpus_of_a_node_are_one_curve_with_their_range() -> None:
    curves = stage_curves("s", [_of_node(3, num_gpus=8)])
    assert curves is not None
    assert sorted(curves.series) == ["system/gpu_utilization_percentage/node-3", "system/process_pss/node-3"]
    band = downsample(curves.series["system/gpu_utilization_percentage/node-3"])
    # GPUs 0 to 7: 0, 10, ... 70, and one more at the next step.
    assert (band.mean.tolist(), band.low.tolist(), band.high.tolist()) == ([35.0, 36.0], [0.0, 1.0], [70.0, 71.0])
    assert [c.group.title for c in charts(curves)] == ["Memory", "Use of the GPUs"]


def test_the_range_stays_when_points_are_averaged() -> None:
    curves = stage_curves("s", [_of_node(0, num_gpus=2, num_steps=1000)])
    assert curves is not None
    band = downsample(curves.series["system/gpu_utilization_percentage/node-0"], max_points=10)
    # Steps 0 to 99 of GPUs at 0 + step and 10 + step.
    assert (band.low[0], band.mean[0], band.high[0]) == (0.0, 54.5, 109.0)


def test_more_nodes_than_a_chart_can_show_are_one_curve() -> None:
    curves = stage_curves("s", [_of_node(node, num_gpus=1) for node in range(MAX_NODES + 1)])
    assert curves is not None
    assert sorted(curves.series) == [
        "system/gpu_utilization_percentage/all 17 nodes",
        "system/process_pss/all 17 nodes",
    ]
    band = downsample(curves.series["system/process_pss/all 17 nodes"])
    assert (band.low.tolist(), band.mean.tolist(), band.high.tolist()) == ([0.0, 0.0], [8.0, 8.0], [16.0, 16.0])


def test_charts_hold_the_loss_of_each_data_type_and_the_reward_of_each_family() -> None:
    line = _series([1.0, 2.0])
    names = ["loss_ocr", "loss", "train/loss_by_type/gui", "rl/reward", "rl/reward_by_family/counting"]
    names += ["rl/completion_tokens/counting", "tokens_per_s", "train/patches_per_s", "something/new"]
    found = {c.group.title: c for c in charts(StageCurves(stage="s", series=dict.fromkeys(names, line)))}
    assert [name for name, _ in found["Loss"].curves] == ["all data", "ocr", "gui"]
    assert [name for name, _ in found["Reward"].curves] == ["mean of the families", "counting"]
    assert [name for name, _ in found["Response length"].curves] == ["counting"]
    assert [name for name, _ in found["Throughput"].curves] == ["tokens", "patches"]
    # No metric is lost because no chart knows it.
    assert [name for name, _ in found["something/new"].curves] == ["something/new"]
    assert sum(len(c.curves) for c in found.values()) == len(names)


def test_what_depends_on_the_machine_can_be_left_out() -> None:
    names = ["loss", "tokens_per_s", "system/process_pss", "system/other"]
    curves = StageCurves(stage="s", series=dict.fromkeys(names, _series([1.0, 2.0])))
    assert [c.group.title for c in charts(curves, with_machine=False)] == ["Loss"]


def test_a_chart_has_a_band_for_many_points_and_dots_what_was_replaced() -> None:
    many = _series(np.sin(np.arange(1000)))
    svg = curve_chart([("loss", many)], [("loss", _series([1.0, 0.5], steps=[100, 101]))], label="Loss, s")
    assert svg.count('class="area c0"') == 1
    assert svg.count('class="line c0 old"') == 1
    assert svg == curve_chart([("loss", many)], [("loss", _series([1.0, 0.5], steps=[100, 101]))], label="Loss, s")


def test_a_constant_curve_and_one_of_huge_numbers_are_drawn() -> None:
    for values in ([5.0, 5.0], [1e12, 3e12], [0.0, 0.0], [-1.0, -1.0]):
        assert "nan" not in curve_chart([("x", _series(values))], [], label="x")


@pytest.mark.parametrize(
    ("low", "high", "ticks"), [(0.0, 1.0, [0.0, 0.25, 0.5, 0.75, 1.0]), (3.32, 3.7, [3.3, 3.4, 3.5, 3.6, 3.7])]
)
def test_ticks_are_round_numbers_around_the_values(low: float, high: float, ticks: list[float]) -> None:
    assert nice_ticks(low, high) == pytest.approx(ticks)


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.25, "0.25"), (12_000, "12k"), (1.5e9, "1.5G"), (1234, "1234"), (1e-5, "1e-05")]
)
def test_numbers_are_shown_short(value: float, text: str) -> None:
    assert short_number(value) == text
