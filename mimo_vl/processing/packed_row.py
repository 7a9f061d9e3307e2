"""Encoded samples and packed rows: the plain arrays that travel from data to model.

Shapes: T tokens, S samples in the row, N media, P vision patches, C values per patch (3 * 2 * 14 * 14 = 1176).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class EncodedSample:
    """One sample as tokens and patches, visual placeholders already expanded to one token per merged patch.

    supervised_T: True where the token is a training target, i.e. predicted from the position before it. Never at
        position 0, never at visual placeholders.
    mm_types_T: 0 text, 1 image, 2 video token.
    positions_3T: mRoPE indices (time, height, width), starting at 0.
    patches_PC, grid_thw_N3: media in order of appearance, images and videos mixed; grid in patches before merging.
    """

    id: str
    data_type: str
    input_ids_T: IntArray
    supervised_T: BoolArray
    mm_types_T: IntArray
    positions_3T: IntArray
    patches_PC: FloatArray
    grid_thw_N3: IntArray

    @property
    def num_tokens(self) -> int:
        return len(self.input_ids_T)

    @property
    def num_patches(self) -> int:
        return len(self.patches_PC)


@dataclass(frozen=True, kw_only=True)
class PackedRow:
    """Samples laid end to end. cu_seqlens_S1 = [0, len_0, len_0 + len_1, ...]: no attention crosses a boundary.

    prefix_S: for each segment the earlier one that it continues, -1 = none: an answer continues a prompt that it shares
        with other answers, sees all of it, and its first token is predicted from the prompt's last. () = -1 for all.
    """

    sample_ids: tuple[str, ...]
    data_types: tuple[str, ...]
    input_ids_T: IntArray
    supervised_T: BoolArray
    mm_types_T: IntArray
    positions_3T: IntArray
    cu_seqlens_S1: IntArray
    patches_PC: FloatArray
    grid_thw_N3: IntArray
    prefix_S: tuple[int, ...] = ()

    @property
    def num_supervised(self) -> int:
        return int(self.supervised_T.sum())


def pack_row(samples: Sequence[EncodedSample]) -> PackedRow:
    """Concatenate samples in order.

    Raises:
        ValueError: no sample, or a sample whose first token is supervised (it has no predecessor in its own segment).
    """
    if not samples:
        raise ValueError("a packed row needs at least one sample, got none")
    for sample in samples:
        if sample.supervised_T[0]:
            raise ValueError(
                f"sample {sample.id}: token 0 is supervised but nothing precedes it; clear supervised_T[0]"
            )
    lengths = [sample.num_tokens for sample in samples]
    return PackedRow(
        sample_ids=tuple(sample.id for sample in samples),
        data_types=tuple(sample.data_type for sample in samples),
        input_ids_T=np.concatenate([s.input_ids_T for s in samples]),
        supervised_T=np.concatenate([s.supervised_T for s in samples]),
        mm_types_T=np.concatenate([s.mm_types_T for s in samples]),
        positions_3T=np.concatenate([s.positions_3T for s in samples], axis=1),
        cu_seqlens_S1=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        patches_PC=np.concatenate([s.patches_PC for s in samples]),
        grid_thw_N3=np.concatenate([s.grid_thw_N3 for s in samples]),
    )
