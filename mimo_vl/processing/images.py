"""How an image becomes patches: Qwen2-VL's resizing rule and patch order, in numpy.

Shapes: F frames, H height, W width (multiples of 28), P patches, C = 3 * 2 * 14 * 14 values per patch.
"""

from __future__ import annotations

import io
import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from mimo_vl.errors import CorruptDataError

PATCH_SIDE = 14
MERGE_SIDE = 2
TEMPORAL_PATCH = 2
# Both sides of a resized image are multiples of this: one visual token covers 28 x 28 pixels.
FACTOR = PATCH_SIDE * MERGE_SIDE
_MAX_ASPECT_RATIO = 200
# A decoded image above this is refused before its pixels are read (decompression bombs).
_MAX_DECODED_PIXELS = 64_000_000
# CLIP's channel statistics, as in Qwen2VLImageProcessor.
_MEAN = (0.48145466, 0.4578275, 0.40821073)
_STD = (0.26862954, 0.26130258, 0.27577711)

Frames = npt.NDArray[np.uint8]
Patches = npt.NDArray[np.float32]


def smart_resize(height: int, width: int, *, min_pixels: int, max_pixels: int) -> tuple[int, int]:
    """Size (height, width) that the vision tower sees.

    Sides are rounded to multiples of 28 with Python's rounding (halves to even: 70 -> 56, 98 -> 112), at least 28;
    then both shrink or grow until the area lies within the limits. A very thin image can stay above `max_pixels`,
    since no side goes below 28. transformers does not clamp sides <= 14 in the first rounding; curation drops those.

    Raises:
        ValueError: a side below 1 or an aspect ratio above 200.
    """
    if min(height, width) < 1 or max(height, width) > _MAX_ASPECT_RATIO * min(height, width):
        raise ValueError(f"image is {width}x{height}; wanted sides >= 1 and an aspect ratio <= {_MAX_ASPECT_RATIO}")
    new_height = max(FACTOR, round(height / FACTOR) * FACTOR)
    new_width = max(FACTOR, round(width / FACTOR) * FACTOR)
    if new_height * new_width > max_pixels:
        beta = math.sqrt(height * width / max_pixels)
        new_height = max(FACTOR, math.floor(height / beta / FACTOR) * FACTOR)
        new_width = max(FACTOR, math.floor(width / beta / FACTOR) * FACTOR)
    elif new_height * new_width < min_pixels:
        beta = math.sqrt(min_pixels / (height * width))
        new_height = math.ceil(height * beta / FACTOR) * FACTOR
        new_width = math.ceil(width * beta / FACTOR) * FACTOR
    return new_height, new_width


def decode_image(data: bytes) -> Image.Image:
    """An RGB image; transparency is composited on white.

    Raises:
        CorruptDataError: the bytes are no complete image, or one larger than 64 megapixels.
    """
    image: Image.Image
    try:
        image = Image.open(io.BytesIO(data))
        if image.width * image.height > _MAX_DECODED_PIXELS:
            raise CorruptDataError(
                f"image is {image.width}x{image.height}; wanted at most {_MAX_DECODED_PIXELS} pixels"
            )
        image.load()
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise CorruptDataError(f"corrupt image of {len(data)} bytes: {error}; replace or drop the file") from error
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        image.alpha_composite(rgba)
    return image.convert("RGB")


def image_frames(data: bytes, *, min_pixels: int, max_pixels: int) -> Frames:
    """Decode and resize (bicubic) to frames_FHWC with F = 1."""
    image = decode_image(data)
    height, width = smart_resize(image.height, image.width, min_pixels=min_pixels, max_pixels=max_pixels)
    return np.asarray(resize(image, height, width))[None]


def resize(image: Image.Image, height: int, width: int) -> Image.Image:
    if image.size == (width, height):
        return image
    return image.resize((width, height), Image.Resampling.BICUBIC)


def patchify(frames_FHWC: Frames) -> tuple[Patches, tuple[int, int, int]]:
    """Normalise and cut into patches_PC and the grid (time, height, width) in patches.

    An odd number of frames is filled up by repeating the last one. Patches that merge into one token are neighbours:
    order (time, merged row, merged column, row in block, column in block); values (channel, time, row, column).
    """
    num_frames, height, width, _ = frames_FHWC.shape
    if height % FACTOR or width % FACTOR:
        raise ValueError(f"frames are {width}x{height}; wanted sides that are multiples of {FACTOR}: resize first")
    if num_frames % TEMPORAL_PATCH:
        frames_FHWC = np.concatenate([frames_FHWC, frames_FHWC[-1:]])
    grid = (len(frames_FHWC) // TEMPORAL_PATCH, height // PATCH_SIDE, width // PATCH_SIDE)
    time, rows, columns = grid
    blocks = frames_FHWC.reshape(
        time,
        TEMPORAL_PATCH,
        rows // MERGE_SIDE,
        MERGE_SIDE,
        PATCH_SIDE,
        columns // MERGE_SIDE,
        MERGE_SIDE,
        PATCH_SIDE,
        3,
    )
    # Reordered as bytes, a quarter of what the numbers take.
    levels = blocks.transpose(0, 2, 5, 3, 6, 8, 1, 4, 7).reshape(time * rows * columns, 3, -1)
    patches = np.empty(levels.shape, dtype=np.float32)
    for channel, values in enumerate(_normalisation_table()):
        values.take(levels[:, channel], out=patches[:, channel], mode="clip")
    return patches.reshape(len(patches), -1), grid


@lru_cache(maxsize=1)
def _normalisation_table() -> npt.NDArray[np.float32]:
    """[3, 256]: (x / 255 - mean) / std for every byte value."""
    levels = np.arange(256, dtype=np.float64) / 255.0
    rows = [(levels - mean) / std for mean, std in zip(_MEAN, _STD, strict=True)]
    return np.stack(rows).astype(np.float32)
