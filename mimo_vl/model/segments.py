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
class Continuation:
    """Known on the host: boundaries of the segments, and for each the earlier one that it continues, -1 = none."""

    boundaries: tuple[int, ...]
    prefixes: tuple[int, ...]


@dataclass(frozen=True)
class SegmentGroup:
    """`num_segments` segments, each padded to `length` slots. token_of_slot: [num_segments * length] index of the
    token in the row (padding repeats the segment's last token), or None where slots and tokens coincide.
    keys: None where the keys are the queries' own tokens.
    """

    num_segments: int
    length: int
    token_of_slot: torch.Tensor | None
    keys: GroupKeys | None = None


@dataclass(frozen=True)
class GroupKeys:
    """What the segments of a group see where each continues another: [prefix, padded | own tokens, padded].

    token_of_slot: [num_segments * length]. bias_S1QL: 0 where a query slot sees a key slot, else -inf, float32.
    """

    length: int
    token_of_slot: torch.Tensor
    bias_S1QL: torch.Tensor


# What is kept may be used in training later, whoever asked first.
@functools.lru_cache(maxsize=64)
@torch.inference_mode(mode=False)
def segment_groups(
    boundaries: tuple[int, ...], allow_padding: bool, prefixes: tuple[int, ...] = ()
) -> tuple[tuple[SegmentGroup, ...], torch.Tensor | None]:
    """Group the segments between `boundaries` (cumulative, first 0).

    `prefixes`: per segment the earlier one that it continues (causal attention alone), -1 = none; () = -1 for all.

    Returns:
        The groups, and for each token of the row its slot in the concatenation of all groups' slots (None where that
        is the identity). Without `allow_padding` only equal lengths share a group.
    """
    all_spans = list(pairwise(boundaries))
    prefixes = prefixes or (-1,) * len(all_spans)
    spans = [(start, end) for (start, end), p in zip(all_spans, prefixes, strict=True) if end > start and p < 0]
    continued = [(all_spans[p], span) for span, p in zip(all_spans, prefixes, strict=True) if p >= 0]
    groups = [
        _group([spans[i] for i in sorted(members)], identity=len(members) == len(spans) and not continued)
        for members in _by_length([end - start for start, end in spans], allow_padding)
    ]
    groups += [_continued_group(members) for members in _by_size_class(continued)]
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


_Span = tuple[int, int]


def _by_size_class(continued: Sequence[tuple[_Span, _Span]]) -> list[list[tuple[_Span, _Span]]]:
    """(prefix, own) spans, together where the own lengths round up to the same power of two (at least 16)."""
    classes: dict[int, list[tuple[_Span, _Span]]] = {}
    for prefix, (start, end) in continued:
        classes.setdefault(max(16, 1 << (end - start - 1).bit_length()), []).append((prefix, (start, end)))
    return [classes[size] for size in sorted(classes, reverse=True)]


def _continued_group(members: Sequence[tuple[_Span, _Span]]) -> SegmentGroup:
    group = _group([own for _, own in members], identity=False)
    prefixes = _group([prefix for prefix, _ in members], identity=False)
    num_segments, length = group.num_segments, group.length
    prefix_slots, own_slots = (
        torch.as_tensor(g.token_of_slot).reshape(num_segments, g.length) for g in (prefixes, group)
    )
    prefix_lengths = torch.tensor([end - start for (start, end), _ in members])
    sees_prefix = torch.arange(prefixes.length)[None] < prefix_lengths[:, None]
    sees_own = torch.ones(length, length, dtype=torch.bool).tril()
    allowed = torch.cat([sees_prefix[:, None, :].expand(-1, length, -1), sees_own.expand(num_segments, -1, -1)], dim=2)
    bias = torch.zeros(allowed.shape).masked_fill_(~allowed, float("-inf"))
    keys = GroupKeys(prefixes.length + length, torch.cat([prefix_slots, own_slots], dim=1).flatten(), bias[:, None])
    return SegmentGroup(num_segments, length, group.token_of_slot, keys)


def _slots(group: SegmentGroup, num_tokens: int) -> torch.Tensor:
    return torch.arange(num_tokens) if group.token_of_slot is None else group.token_of_slot
