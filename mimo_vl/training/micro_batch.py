"""What one forward gets, and what a source of training data must be able to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mimo_vl.processing.packed_row import PackedRow


@dataclass(frozen=True, kw_only=True)
class MicroBatch:
    """Segments are the units that a loss is reported for: samples of packed rows, or preference pairs.

    payload: what the step module's forward takes, on the CPU or already on the device.
    num_targets_S: what the loss is a mean over, per segment: supervised tokens, or 1 per pair.
    groups_S: name under which the segment's loss is logged (its data type).
    num_pairs: pairs of a token and one that it attends to; documents do not see each other.
    """

    payload: object
    sample_ids_S: tuple[str, ...]
    groups_S: tuple[str, ...]
    num_targets_S: tuple[int, ...]
    num_tokens: int
    num_pairs: int
    num_patches: int

    @property
    def num_targets(self) -> int:
        return sum(self.num_targets_S)


class BatchSource(Protocol):
    """Training data as a pure function of the step."""

    @property
    def groups(self) -> tuple[str, ...]:
        """All group names that can occur, the same on every rank and in the same order."""
        ...

    def micro_batches(self, step: int) -> list[MicroBatch]:
        """This rank's share of optimizer step `step`; equally many on every rank and in every step."""
        ...


def attended_pairs(row: PackedRow) -> int:
    """Token i of a document attends to i tokens and itself: n (n + 1) / 2 pairs in n tokens; to a prefix as well."""
    lengths_S = np.diff(row.cu_seqlens_S1)
    own = int((lengths_S * (lengths_S + 1) // 2).sum())
    if not row.prefix_S:
        return own
    prefix_S = np.array(row.prefix_S)
    return own + int((lengths_S * np.where(prefix_S >= 0, lengths_S[prefix_S], 0)).sum())
