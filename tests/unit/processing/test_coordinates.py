from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mimo_vl.processing.coordinates import to_resized, to_stored


def test_a_box_scales_rounds_half_up_and_stays_inside() -> None:
    # 540 x 599 is seen as 532 x 588: x * 0.98519, y * 0.98164
    assert to_resized([10, 10, 540, 700], stored=(540, 599), resized=(532, 588)) == [10, 10, 532, 588]
    assert to_resized([1, 3], stored=(2, 2), resized=(1, 1)) == [1, 1]  # 0.5 rounds up, 1.5 is clamped


def test_a_prediction_outside_is_clamped() -> None:
    assert to_stored([-5, 600], stored=(540, 599), resized=(532, 588)) == [0.0, 599.0]


@given(st.integers(28, 2000), st.integers(28, 2000), st.floats(0, 1), st.floats(0, 1))
def test_there_and_back_is_within_half_a_resized_pixel(width: int, height: int, x: float, y: float) -> None:
    stored, resized = (width, height), (round(width / 28) * 28, round(height / 28) * 28)
    point = [x * width, y * height]
    back = to_stored(to_resized(point, stored=stored, resized=resized), stored=stored, resized=resized)
    for i in range(2):
        assert abs(back[i] - point[i]) <= 0.5 * stored[i] / resized[i] + 1e-6
