import pytest

from mimo_vl.config.training import ScheduleConfig
from mimo_vl.training.schedule import lr_factor


def test_warm_up_is_linear_and_reaches_the_peak_with_its_last_step() -> None:
    config = ScheduleConfig(kind="constant", warmup_fraction=0.04)
    # 4 % of 100 steps: 1/4, 2/4, 3/4, 4/4.
    assert [lr_factor(step, 100, config) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_constant_stays_at_the_peak_to_the_last_step() -> None:
    assert lr_factor(99, 100, ScheduleConfig(kind="constant")) == 1.0


def test_linear_fall_starts_at_the_peak_and_ends_at_the_final_ratio() -> None:
    config = ScheduleConfig(kind="linear", warmup_fraction=0.0, final_lr_ratio=0.1)
    assert lr_factor(0, 11, config) == 1.0
    # Half way between 1 and 0.1.
    assert lr_factor(5, 11, config) == pytest.approx(0.55)
    assert lr_factor(10, 11, config) == pytest.approx(0.1)


def test_cosine_is_at_the_middle_half_way_down() -> None:
    config = ScheduleConfig(kind="cosine", warmup_fraction=0.0, final_lr_ratio=0.0)
    assert lr_factor(5, 11, config) == pytest.approx(0.5)
    # One tenth of the way: half of 1 plus the cosine of 18 degrees.
    assert lr_factor(1, 11, config) == pytest.approx(0.97552826)
    assert lr_factor(10, 11, config) == pytest.approx(0.0)


def test_a_stage_of_one_step_trains_at_the_peak() -> None:
    assert lr_factor(0, 1, ScheduleConfig(kind="cosine", warmup_fraction=0.0, final_lr_ratio=0.0)) == 1.0


@pytest.mark.parametrize("step", [-1, 10])
def test_a_step_outside_the_stage_is_an_error(step: int) -> None:
    with pytest.raises(ValueError, match=f"step is {step}, wanted 0 <= step < num_steps = 10"):
        lr_factor(step, 10, ScheduleConfig())
