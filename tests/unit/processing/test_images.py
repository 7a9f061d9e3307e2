from __future__ import annotations

import io
from inspect import signature

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mimo_vl.config.compose import compose
from mimo_vl.errors import CorruptDataError
from mimo_vl.processing.images import (
    MERGE_SIDE,
    PATCH_SIDE,
    TEMPORAL_PATCH,
    decode_image,
    image_frames,
    patchify,
    smart_resize,
)
from mimo_vl.processing.positions import mrope_positions

_LIMITS = {"min_pixels": 3136, "max_pixels": 1003520}


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        ((70, 98), (56, 112)),  # 2.5 -> 2 and 3.5 -> 4: halves go to the even multiple
        ((540, 599), (532, 588)),  # 19.29 -> 19, 21.39 -> 21
        ((20, 20), (56, 56)),  # below the minimum area: beta = 2.8, 20 * 2.8 = 56
        ((13, 2600), (28, 2604)),  # the first rounding is clamped to 28
    ],
)
def test_smart_resize_gives_the_worked_examples(size: tuple[int, int], wanted: tuple[int, int]) -> None:
    assert smart_resize(*size, **_LIMITS) == wanted


def test_smart_resize_refuses_an_aspect_ratio_above_200() -> None:
    with pytest.raises(ValueError, match="aspect ratio"):
        smart_resize(10, 2001, **_LIMITS)


def test_a_thin_image_above_the_maximum_keeps_28_px_and_stays_above() -> None:
    # beta = sqrt(28 * 2800 / 3136) = 5: 28 / 5 / 28 floors to 0 and is clamped; 2800 / 5 = 560
    assert smart_resize(28, 2800, min_pixels=784, max_pixels=3136) == (28, 560)


@given(st.integers(15, 3000), st.integers(15, 3000))
def test_smart_resize_gives_multiples_of_28_and_is_idempotent_for_ordinary_sizes(height: int, width: int) -> None:
    if max(height, width) > 20 * min(height, width):
        return
    once = smart_resize(height, width, **_LIMITS)
    assert once[0] % 28 == once[1] % 28 == 0
    assert once[0] * once[1] <= _LIMITS["max_pixels"]
    assert smart_resize(*once, **_LIMITS) == once


@pytest.mark.timeout(120)
def test_smart_resize_equals_transformers_for_sides_above_14() -> None:
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize as theirs

    rng = np.random.default_rng(0)
    sizes = rng.integers(15, 2000, size=(500, 2)).tolist()
    for height, width in sizes:
        if max(height, width) > 200 * min(height, width):
            continue
        assert smart_resize(height, width, **_LIMITS) == theirs(height, width, **_LIMITS)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("size", [(56, 56), (84, 112), (101, 67), (300, 40)])
def test_patches_equal_those_of_transformers(size: tuple[int, int]) -> None:
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    rng = np.random.default_rng(1)
    image = Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
    limits = {"min_pixels": 3136, "max_pixels": 12544}
    processor = Qwen2VLImageProcessorPil(size={"shortest_edge": 3136, "longest_edge": 12544})
    wanted = processor(images=[image], return_tensors="np")
    patches, grid = patchify(image_frames(_png(image), **limits))
    assert grid == tuple(wanted["image_grid_thw"][0].tolist())
    np.testing.assert_allclose(patches, wanted["pixel_values"], atol=2e-6)


def test_four_neighbouring_patches_come_before_the_next_visual_token() -> None:
    frame = np.zeros((1, 28, 56, 3), dtype=np.uint8)
    frame[0, :, 28:] = 255
    patches, grid = patchify(frame)
    assert grid == (1, 2, 4)
    # black is (0 - 0.48145466) / 0.26862954 = -1.7923, white (1 - 0.48145466) / 0.26862954 = 1.9303
    np.testing.assert_allclose(patches[:, 0], [-1.7923] * 4 + [1.9303] * 4, atol=1e-4)


def test_an_odd_number_of_frames_repeats_the_last_one() -> None:
    frames = np.stack([np.full((28, 28, 3), v, dtype=np.uint8) for v in (0, 0, 255)])
    patches, grid = patchify(frames)
    assert grid == (2, 2, 2)
    assert np.ptp(patches[4:, :392]) < 1e-6  # both frames of the second time step are white


def test_transparency_is_composited_on_white() -> None:
    image = Image.new("RGBA", (28, 28), (255, 0, 0, 0))
    assert decode_image(_png(image)).getpixel((5, 5)) == (255, 255, 255)


@pytest.mark.parametrize("damage", ["garbage", "truncated", "empty"])
def test_a_corrupt_image_is_corrupt_data(damage: str) -> None:
    whole = _png(Image.fromarray(np.random.default_rng(0).integers(0, 256, (56, 56, 3), dtype=np.uint8)))
    data = {"garbage": b"no image at all", "truncated": whole[: len(whole) // 2], "empty": b""}[damage]
    with pytest.raises(CorruptDataError, match="corrupt image"):
        decode_image(data)


def test_samples_are_encoded_with_the_sizes_of_every_model() -> None:
    vision = compose("mimo_vl_7b").model.vision
    assert (vision.patch_size, vision.spatial_merge_size, vision.temporal_patch_size) == (14, 2, 2)
    assert (PATCH_SIDE, MERGE_SIDE, TEMPORAL_PATCH) == (14, 2, 2)
    assert signature(mrope_positions).parameters["tokens_per_second"].default == vision.tokens_per_second
