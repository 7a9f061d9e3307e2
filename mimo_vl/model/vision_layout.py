"""Where does each patch sit in the vision tower: its coordinates, its window, its frame?

Same values as transformers computes in the tower's forward, but per grid size once (cached), then shifted and
concatenated: transformers loops over the media of a row in Python with about twenty small tensor operations each.
"""

# Shapes: P patches, M merged tokens (P / 4), N media
from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from mimo_vl.model.upstream import get_vision_cu_seqlens, get_vision_position_ids, get_vision_window_index

Grid = tuple[int, int, int]


@dataclass(frozen=True)
class VisionLayout:
    """Keyword arguments of the tower's forward. position_ids [P, 2]; window_index [M]; cu_* cumulative patch counts."""

    position_ids: torch.Tensor
    window_index: torch.Tensor
    cu_seqlens: torch.Tensor
    cu_window_seqlens: torch.Tensor
    max_seqlen: int
    max_window_seqlen: int

    def to(self, device: torch.device) -> VisionLayout:
        return VisionLayout(
            self.position_ids.to(device),
            self.window_index.to(device),
            self.cu_seqlens.to(device),
            self.cu_window_seqlens.to(device),
            self.max_seqlen,
            self.max_window_seqlen,
        )

    def kwargs(self) -> dict[str, torch.Tensor | int]:
        return dict(vars(self))


@dataclass(frozen=True)
class _GridLayout:
    position_ids: torch.Tensor
    window_index: torch.Tensor
    seqlens: torch.Tensor
    window_seqlens: torch.Tensor


def vision_layout(grids: Sequence[Grid], *, merge_size: int, window_size: int, patch_size: int) -> VisionLayout:
    """Layout of media with these (time, height, width) grids, one after the other."""
    parts = [_grid_layout(grid, merge_size, window_size, patch_size) for grid in grids]
    num_merged = torch.tensor([0] + [len(part.window_index) for part in parts[:-1]]).cumsum(0).tolist()
    seqlens = torch.cat([part.seqlens for part in parts])
    window_seqlens = torch.cat([part.window_seqlens for part in parts])
    return VisionLayout(
        position_ids=torch.cat([part.position_ids for part in parts]),
        window_index=torch.cat([part.window_index + start for part, start in zip(parts, num_merged, strict=True)]),
        cu_seqlens=_cumulative(seqlens),
        cu_window_seqlens=_cumulative(window_seqlens),
        max_seqlen=int(seqlens.max()),
        max_window_seqlen=int(window_seqlens.max()),
    )


@functools.lru_cache(maxsize=1024)
@torch.inference_mode(mode=False)
def _grid_layout(grid: Grid, merge_size: int, window_size: int, patch_size: int) -> _GridLayout:
    grid_13 = torch.tensor([grid])
    window_index, cu_window = get_vision_window_index(
        grid_13, spatial_merge_size=merge_size, window_size=window_size, patch_size=patch_size
    )
    return _GridLayout(
        position_ids=get_vision_position_ids(grid_13, merge_size),
        window_index=window_index,
        seqlens=get_vision_cu_seqlens(grid_13).diff(),
        window_seqlens=cu_window.diff(),
    )


def _cumulative(lengths: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.pad(lengths.cumsum(0, dtype=torch.int32), (1, 0))
