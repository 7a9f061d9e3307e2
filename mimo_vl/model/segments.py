"""Which segments of a packed row share one batched attention call on CPU, and where does each token sit in it?

Many small SDPA calls are bound by overhead (25 segments of 50 tokens: 10.1 ms in 25 calls, 4.7 ms in one), so segments
of like length are computed together.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

# A segment may be padded when this wastes at most so many score-matrix elements (about one call's overhead) ...
_MAX_WASTE_ELEMENTS = 64 * 64
# ... or when it is nearly as long as the group.
_MIN_LENGTH_RATIO = 0.9


@dataclass(frozen=True)
class SegmentGroup:
    """`num_segments` segments, each padded to `length` slots. token_of_slot: [num_segments * length] index of the
    token in the row (padding repeats the segment's last token), or None where slots and tokens coincide.
    """

    num_segments: int
    length: int
    token_of_slot: torch.Tensor | None


@functools.lru_cache(maxsize=64)
def segment_groups(
    boundaries: tuple[int, ...], allow_padding: bool
) -> tuple[tuple[SegmentGroup, ...], torch.Tensor | None]:
    """Group the segments between `boundaries` (cumulative, first 0).

    Returns:
        The groups, and for each token of the row its slot in the concatenation of all groups' slots (None where that
        is the identity). Without `allow_padding` only equal lengths share a group.
    """
    spans = [(start, end) for start, end in pairwise(boundaries) if end > start]
    groups = [
        _group([spans[i] for i in sorted(members)], identity=len(members) == len(spans))
        for members in _by_length([end - start for start, end in spans], allow_padding)
    ]
    if len(groups) == 1 and groups[0].token_of_slot is None:
        return tuple(groups), None
    token_of_slot = torch.cat([_slots(group, boundaries[-1]) for group in groups])
    slot_of_token = torch.empty(boundaries[-1], dtype=torch.int64)
    # Written from the last slot to the first, so that a token's real slot wins over its repetitions as padding
    # (numpy assigns in order; torch does not promise to).
    slots = np.arange(len(token_of_slot))
    slot_of_token.numpy()[token_of_slot.numpy()[::-1]] = slots[::-1]
    return tuple(groups), slot_of_token


def _by_length(lengths: Sequence[int], allow_padding: bool) -> list[list[int]]:
    """Indices of the segments per group, longest group first."""
    groups: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        longest = lengths[groups[-1][0]] if groups else 0
        if groups and _fits(lengths[index], longest, allow_padding):
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


def _fits(length: int, longest: int, allow_padding: bool) -> bool:
    if length == longest:
        return True
    waste = longest * longest - length * length
    return allow_padding and (waste <= _MAX_WASTE_ELEMENTS or length >= _MIN_LENGTH_RATIO * longest)


def _group(spans: Sequence[tuple[int, int]], *, identity: bool) -> SegmentGroup:
    lengths = [end - start for start, end in spans]
    length = max(lengths)
    if identity and min(lengths) == length:
        return SegmentGroup(len(spans), length, None)
    starts, ends = torch.tensor(spans).unbind(1)
    slots = starts[:, None] + torch.arange(length)[None, :]
    return SegmentGroup(len(spans), length, torch.minimum(slots, ends[:, None] - 1).flatten())


def _slots(group: SegmentGroup, num_tokens: int) -> torch.Tensor:
    return torch.arange(num_tokens) if group.token_of_slot is None else group.token_of_slot
