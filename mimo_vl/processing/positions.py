"""Which mRoPE position (time, height, width) does each token of one sample have?

Text: all three equal, counting up. Image: constant time, row and column of the merged grid. Video: the time index grows
by seconds per temporal patch times `tokens_per_second`. After a visual block, text goes on behind its largest row or
column (transformers' `get_rope_index` of Qwen2.5-VL, which a test compares with).
"""

# Shapes: T tokens, N media
from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from mimo_vl.processing.packed_row import IntArray

TEXT, IMAGE, VIDEO = 0, 1, 2


def mrope_positions(
    mm_types_T: IntArray,
    grid_thw_N3: IntArray,
    seconds_per_grid_N: Sequence[float] = (),
    *,
    merge_size: int = 2,
    tokens_per_second: int = 4,
) -> IntArray:
    """Positions [3, T] of one sample, starting at 0.

    Args:
        mm_types_T: 0 text, 1 image, 2 video, per token; placeholders already expanded.
        grid_thw_N3: grids in patches, media in order of appearance.
        seconds_per_grid_N: seconds between temporal patches, per medium; ignored for images. Empty: 1 s for all.
        merge_size: side of the square of patches that becomes one token.
        tokens_per_second: time indices per second of video.

    Raises:
        ValueError: placeholders and grids disagree.
    """
    if len(seconds_per_grid_N) not in (0, len(grid_thw_N3)):
        raise ValueError(
            f"{len(seconds_per_grid_N)} seconds_per_grid for {len(grid_thw_N3)} media; wanted one per medium"
        )
    num_tokens = len(mm_types_T)
    positions_3T = np.empty((3, num_tokens), dtype=np.int64)
    next_position, token, medium = 0, 0, 0
    while token < num_tokens:
        if mm_types_T[token] == TEXT:
            length = _run_length(mm_types_T, token)
            positions_3T[:, token : token + length] = np.arange(next_position, next_position + length)
            next_position += length
        else:
            t, h, w = _merged_grid(grid_thw_N3, medium, merge_size)
            length = t * h * w
            _check_block(mm_types_T[token : token + length], length, medium)
            interval = 1.0
            if mm_types_T[token] == VIDEO:
                interval = tokens_per_second * (seconds_per_grid_N[medium] if len(seconds_per_grid_N) else 1)
            np.add(_visual_block(t, h, w, interval), next_position, out=positions_3T[:, token : token + length])
            next_position += max(h, w)
            medium += 1
        token += length
    if medium != len(grid_thw_N3):
        raise ValueError(
            f"{len(grid_thw_N3)} media but placeholders of only {medium}; insert a placeholder run per medium"
        )
    return positions_3T


def _run_length(mm_types_T: IntArray, start: int) -> int:
    others = np.flatnonzero(mm_types_T[start:] != TEXT)
    return int(others[0]) if len(others) else len(mm_types_T) - start


def _merged_grid(grid_thw_N3: IntArray, medium: int, merge_size: int) -> tuple[int, int, int]:
    if medium >= len(grid_thw_N3):
        raise ValueError(f"visual placeholders beyond the {len(grid_thw_N3)} media of the sample; remove them")
    t, h, w = (int(x) for x in grid_thw_N3[medium])
    return t, h // merge_size, w // merge_size


def _check_block(types: IntArray, length: int, medium: int) -> None:
    if len(types) != length or (types != types[0]).any():
        raise ValueError(
            f"medium {medium}: its placeholder run is shorter than its {length} merged patches; "
            "expand one placeholder per merged patch"
        )


@lru_cache(maxsize=1024)
def _visual_block(t: int, h: int, w: int, interval: float) -> IntArray:
    # float32 product, truncated: as transformers computes it
    times = (np.arange(t, dtype=np.float32) * np.float32(interval)).astype(np.int64)
    grid = np.meshgrid(times, np.arange(h, dtype=np.int64), np.arange(w, dtype=np.int64), indexing="ij")
    block_3M = np.stack(grid).reshape(3, -1)
    # Shared by all media of the same size.
    block_3M.flags.writeable = False
    return block_3M
