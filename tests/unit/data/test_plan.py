from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np
import pytest

from mimo_vl.data.mixture import MixtureStream
from mimo_vl.data.plan import PlanState, RowPlan, SampleRef
from mimo_vl.errors import ConfigError


def _costs() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "text": np.stack([rng.integers(5, 60, 40), np.zeros(40, dtype=np.int64)], axis=1),
        "ocr": np.stack([rng.integers(10, 30, 50), rng.integers(16, 60, 50)], axis=1),
    }


def _plan(seed: int = 0, rows_per_step: int = 4) -> RowPlan:
    return RowPlan(
        _costs(),
        mixture={"text": 0.25, "ocr": 0.75},
        seed=seed,
        capacity_tokens=128,
        capacity_patches=256,
        rows_per_step=rows_per_step,
    )


def test_a_step_is_a_pure_function_of_seed_and_step() -> None:
    forward = _plan()
    steps = [forward.rows(s) for s in range(40)]
    fresh = _plan()
    assert fresh.rows(37) == steps[37]
    assert fresh.rows(3) == steps[3]
    assert _plan(seed=1).rows(3) != steps[3]


def test_any_number_of_ranks_sees_the_same_samples_in_each_step() -> None:
    plan = _plan()
    for step in (0, 7, 21):
        wanted = sorted(plan.rows(step))
        for world_size in (1, 2, 4):
            dealt = [row for rank in range(world_size) for row in plan.rank_rows(step, rank, world_size)]
            assert sorted(dealt) == wanted


def test_a_number_of_ranks_that_does_not_divide_the_rows_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="3 ranks cannot share 4 rows"):
        _plan().rank_rows(0, 0, 3)


def test_rows_keep_both_capacities_and_are_nearly_full() -> None:
    plan = _plan()
    rows = [row for step in range(60) for row in plan.rows(step)]
    totals = np.array([np.sum([plan.cost(ref) for ref in row], axis=0) for row in rows])
    assert totals[:, 0].max() <= 128
    assert totals[:, 1].max() <= 256
    assert totals[:, 0].mean() / 128 > 0.97


def test_carried_samples_are_neither_lost_nor_repeated() -> None:
    plan = _plan()
    used = Counter(ref for step in range(15 * 16) for row in plan.rows(step) for ref in row)  # 15 windows of 16 steps
    state = plan.state(15 * 16)
    stream = MixtureStream({name: len(c) for name, c in _costs().items()}, {"text": 0.25, "ocr": 0.75}, seed=0)
    drawn = Counter(
        SampleRef(name, stream.sample(number, k))
        for number, name in enumerate(stream.names)
        for k in range(state.occurrences[number])
    )
    assert used + Counter(state.carried) == drawn
    assert sum(plan.cost(ref)[0] for ref in state.carried) < 16 * 128  # a few rows' worth, not growing


class _CountingPlan(RowPlan):
    """Which windows were planned."""

    def __init__(self, **values: Any) -> None:
        super().__init__(_costs(), **values)
        self.planned: list[int] = []

    def _plan(self, before: PlanState) -> Any:
        self.planned.append(before.window)
        return super()._plan(before)


_VALUES: dict[str, Any] = {
    "mixture": {"text": 0.25, "ocr": 0.75},
    "seed": 0,
    "capacity_tokens": 128,
    "capacity_patches": 256,
    "rows_per_step": 4,
}


def test_going_forward_plans_each_window_once_and_asking_for_its_state_none() -> None:
    plan = _CountingPlan(**_VALUES)
    for step in range(48):  # 3 windows of 16 steps
        plan.rows(step)
        plan.state(step)
    assert plan.planned == [0, 1, 2]


def test_a_plan_that_continues_from_a_saved_state_gives_the_same_rows_without_replay() -> None:
    whole = _plan()
    wanted = [whole.rows(step) for step in range(600)]
    # Step 501 lies within window 31, which has carried samples before it.
    state = whole.state(501)
    assert state.window == 31
    assert state.carried
    resumed = _CountingPlan(**_VALUES)
    resumed.continue_from(PlanState.from_values(json.loads(json.dumps(state.to_values()))))
    assert [resumed.rows(step) for step in range(501, 600)] == wanted[501:]
    assert resumed.planned == [31, 32, 33, 34, 35, 36, 37]
    # Earlier steps are still what they are.
    assert resumed.rows(3) == wanted[3]


def test_types_occur_in_the_proportions_of_the_mixture() -> None:
    stream = MixtureStream({"a": 10, "b": 10}, {"a": 3.0, "b": 1.0}, seed=5)
    share = (stream.types(0, 20000) == 0).mean()
    assert share == pytest.approx(0.75, abs=0.01)
    assert stream.types(100, 50).tolist() == stream.types(0, 200)[100:150].tolist()


def test_each_epoch_visits_every_sample_once_in_its_own_order() -> None:
    stream = MixtureStream({"a": 20}, {"a": 1.0}, seed=5)
    epochs = [[stream.sample(0, 20 * e + i) for i in range(20)] for e in range(2)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(20))
    assert epochs[0] != epochs[1]


def test_a_weight_without_samples_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="gui"):
        MixtureStream({"ocr": 5}, {"ocr": 1.0, "gui": 0.5}, seed=0)


def test_a_sample_longer_than_a_row_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="raise the limits"):
        RowPlan(
            {"text": np.array([[600, 0]])},
            mixture={"text": 1.0},
            seed=0,
            capacity_tokens=512,
            capacity_patches=1024,
            rows_per_step=2,
        )
