"""mRoPE positions equal those of transformers' get_rope_index, for every kind of sample."""

from __future__ import annotations

import numpy as np
import pytest

from mimo_vl.processing.positions import mrope_positions

pytestmark = pytest.mark.timeout(120)


def _grids(*grids: tuple[int, int, int]) -> np.ndarray:
    return np.array(grids, dtype=np.int64).reshape(-1, 3)


def test_text_counts_up_in_all_three_rows():
    positions = mrope_positions(np.zeros(4, dtype=np.int64), _grids())
    assert positions.tolist() == [[0, 1, 2, 3]] * 3


def test_an_image_by_hand():
    # 2 text, image of 2 x 3 merged patches, 1 text. Rows: 2,2,2,3,3,3; columns 2,3,4,2,3,4; text goes on at 2 + 3.
    positions = mrope_positions(np.array([0, 0, 1, 1, 1, 1, 1, 1, 0]), _grids((1, 4, 6)))
    assert positions.tolist() == [
        [0, 1, 2, 2, 2, 2, 2, 2, 5],
        [0, 1, 2, 2, 2, 3, 3, 3, 5],
        [0, 1, 2, 3, 4, 2, 3, 4, 5],
    ]


def test_a_video_advances_in_time_by_seconds_per_patch_times_4():
    positions = mrope_positions(np.array([0, 2, 2, 2, 0]), _grids((3, 2, 2)), [1.0])
    assert positions[0].tolist() == [0, 1, 5, 9, 2]  # text follows the largest row or column, not the time


def test_seconds_per_grid_are_ignored_for_images():
    types = np.array([1, 0])
    assert np.array_equal(mrope_positions(types, _grids((1, 2, 2)), [7.0]), mrope_positions(types, _grids((1, 2, 2))))


@pytest.mark.parametrize(
    ("types", "grids", "message"),
    [
        ([0, 1, 0], [(1, 4, 2)], "medium 0: its placeholder run is shorter than its 2"),
        ([0, 1], [(1, 2, 2), (1, 2, 2)], "2 media but placeholders of only 1"),
        ([1, 1], [(1, 2, 2)], "beyond the 1 media"),
    ],
)
def test_placeholders_that_disagree_with_grids_are_an_error(types, grids, message):
    with pytest.raises(ValueError, match=message):
        mrope_positions(np.array(types), _grids(*grids))


CASES = {
    "image": ([3, (1, 4, 6), 5], []),
    "two images, one first": ([(1, 8, 4), 2, (1, 4, 10), 1], []),
    "video at 2 fps": ([2, (4, 4, 6, 1.0), 3], [1.0]),
    "video with half seconds": ([1, (5, 4, 4, 0.5), 2], [0.5]),
    "video with odd seconds": ([1, (7, 2, 4, 0.3), 2], [0.3]),
    "two videos": ([1, (3, 4, 4, 0.5), 2, (2, 6, 4, 2.0), 4], [0.5, 2.0]),
    "image and video": ([2, (1, 4, 4), 1, (3, 4, 6, 0.75), 2, (1, 2, 2)], [0.75]),
}


@pytest.mark.parametrize(("parts", "video_seconds"), CASES.values(), ids=CASES.keys())
def test_positions_equal_those_of_transformers(parts, video_seconds):
    import torch

    from mimo_vl.model.assemble import build_on_meta
    from mimo_vl.model.configure import build_model_config
    from tests.unit.model.builders import TOKEN_IDS, VOCAB_SIZE, sample, tiny_config

    model = build_on_meta(build_model_config(tiny_config(), vocab_size=VOCAB_SIZE, token_ids=TOKEN_IDS))
    each = sample("s", *parts)
    kinds = [2 if len(p) == 4 else 1 for p in parts if not isinstance(p, int)]
    expected, _ = model.model.get_rope_index(
        torch.from_numpy(each.input_ids_T)[None],
        torch.from_numpy(each.mm_types_T)[None],
        image_grid_thw=torch.from_numpy(each.grid_thw_N3[[k == 1 for k in kinds]]),
        video_grid_thw=torch.from_numpy(each.grid_thw_N3[[k == 2 for k in kinds]]),
        second_per_grid_ts=torch.tensor(video_seconds),
    )
    assert np.array_equal(each.positions_3T, expected[:, 0].numpy())
