from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mimo_vl.config.processing import ProcessingConfig
from mimo_vl.errors import CorruptDataError
from mimo_vl.processing.videos import plan_video, read_frames, write_video


def _frames(count: int) -> list[np.ndarray]:
    return [np.full((28, 56, 3), 10 * i, dtype=np.uint8) for i in range(count)]


def test_two_frames_per_second_are_taken_with_first_and_last(config: ProcessingConfig) -> None:
    # 10 s at 3 fps = 30 frames; 20 at 2 fps, capped at 16; linspace(0, 29, 16) in steps of 1.93
    plan = plan_video(num_frames=30, fps=3.0, height=28, width=56, config=config)
    assert plan.indices == (0, 2, 4, 6, 8, 10, 12, 14, 15, 17, 19, 21, 23, 25, 27, 29)
    # effective rate 16 / 30 * 3 = 1.6 fps, two frames per time step
    assert plan.seconds_per_grid == pytest.approx(1.25)


def test_a_short_clip_gives_an_even_number_of_frames(config: ProcessingConfig) -> None:
    assert len(plan_video(num_frames=5, fps=2.0, height=28, width=56, config=config).indices) == 4
    assert plan_video(num_frames=3, fps=1.0, height=28, width=56, config=config).indices == (0, 2)


def test_stored_at_two_frames_per_second_every_frame_is_seen_and_a_step_is_a_second(config: ProcessingConfig) -> None:
    plan = plan_video(num_frames=12, fps=2.0, height=28, width=56, config=config)
    assert plan.indices == tuple(range(12))
    assert (plan.height, plan.width, plan.seconds_per_grid) == (28, 56, 1.0)


def test_fewer_than_two_frames_are_refused(config: ProcessingConfig) -> None:
    with pytest.raises(ValueError, match="at least 2 frames"):
        plan_video(num_frames=1, fps=2.0, height=28, width=56, config=config)


def test_the_limit_on_tokens_is_hard() -> None:
    # The report's evaluation: at 256 frames Qwen's rule would give 134 tokens per pair, 17,152 in all.
    config = ProcessingConfig(min_pixels=3136, max_pixels=1003520)
    plan = plan_video(num_frames=1280, fps=10.0, height=720, width=1280, config=config)
    assert len(plan.indices) == 256
    assert 128 * plan.height * plan.width // 784 <= 16384


def test_thin_frames_give_up_frames_to_stay_within_the_limit(config: ProcessingConfig) -> None:
    small = replace(config, video_total_tokens=8)
    # 28 x 400 px shrink at most to 28 x 196, 7 tokens per pair of frames: one pair is left
    plan = plan_video(num_frames=16, fps=2.0, height=28, width=400, config=small)
    assert (plan.indices, plan.height, plan.width) == ((0, 15), 28, 196)
    with pytest.raises(ValueError, match="exceed 8 tokens"):
        plan_video(num_frames=16, fps=2.0, height=14, width=2800, config=small)


def test_written_frames_are_read_back_exactly_and_bytes_repeat(config: ProcessingConfig) -> None:
    frames = _frames(8)
    data = write_video(frames, fps=2)
    assert data == write_video(frames, fps=2)
    plan = plan_video(num_frames=8, fps=2.0, height=28, width=56, config=config)
    np.testing.assert_array_equal(read_frames(data, plan), np.stack(frames))


def test_a_truncated_video_is_corrupt_data(config: ProcessingConfig) -> None:
    data = write_video(_frames(8), fps=2)
    plan = plan_video(num_frames=8, fps=2.0, height=28, width=56, config=config)
    with pytest.raises(CorruptDataError, match="video"):
        read_frames(data[: len(data) // 2], plan)


def test_a_video_shorter_than_its_record_is_corrupt_data(config: ProcessingConfig) -> None:
    plan = plan_video(num_frames=12, fps=2.0, height=28, width=56, config=config)
    with pytest.raises(CorruptDataError, match="8 of the 12"):
        read_frames(write_video(_frames(8), fps=2), plan)
