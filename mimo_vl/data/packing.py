"""Which samples share a row? Best-fit decreasing by tokens under a patch cap, and levelling of patches across ranks.

`pack` fills best: for data sets of which every row is used. `spread` is for training rows: best fit puts samples of one
length, and so of one data type, into one row, so that a step would see grounding only and the next one captions only.
It deals samples out evenly first, by both resources, and fills after.

Best fit with a bitset: bins lie in stacks by their remaining tokens, and one big integer has a bit for every non-empty
stack, so the best fit for n tokens is the lowest set bit of `bits >> n`. Bins without patches left are passed over.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Costs = npt.NDArray[np.int64] | Sequence[tuple[int, int]]

# How many bins are looked at for room before a sample goes elsewhere: bounds the time per sample.
_MAX_LOOKS = 32
# `spread` deals out the first samples up to this share of the bins; the rest fills gaps.
_BULK_SHARE = 0.85


def pack(costs: Costs, capacity_tokens: int, capacity_patches: int) -> list[list[int]]:
    """Bins of sample numbers; every sample is in exactly one bin, no bin exceeds a capacity.

    Args:
        costs: [N, 2] tokens and patches per sample.
        capacity_tokens: tokens per bin.
        capacity_patches: patches per bin.

    Raises:
        ValueError: a sample that fits in no bin, or one without tokens.
    """
    table = np.asarray(costs, dtype=np.int64).reshape(-1, 2)
    _check(table, capacity_tokens, capacity_patches)
    # Ties keep the order of the input, so the result is a function of the costs alone.
    order = np.lexsort((-table[:, 1], -table[:, 0])).tolist()
    tokens, patches = table[:, 0].tolist(), table[:, 1].tolist()
    smallest = int(table[:, 0].min()) if len(table) else 0
    bins: list[list[int]] = []
    patches_left: list[int] = []
    stacks: list[list[int]] = [[] for _ in range(capacity_tokens + 1)]
    bits = 0
    for sample in order:
        size, need = tokens[sample], patches[sample]
        space, place = _best_fit(bits, size, need, stacks, patches_left)
        if place < 0:
            number, left = len(bins), capacity_tokens - size
            bins.append([sample])
            patches_left.append(capacity_patches - need)
        else:
            stack = stacks[space]
            number, left = stack.pop(place), space - size
            if not stack:
                bits ^= 1 << space
            bins[number].append(sample)
            patches_left[number] -= need
        # Nothing fits a smaller space: the bin is closed.
        if left >= smallest:
            stacks[left].append(number)
            bits |= 1 << left
    return bins


@dataclass(frozen=True)
class _Bins:
    """What `spread` fills. `size` and `need` of a sample: its tokens and patches."""

    members: list[list[int]]
    tokens_left: list[int]
    patches_left: list[int]

    def has_room(self, number: int, size: int, need: int) -> bool:
        return self.tokens_left[number] >= size and self.patches_left[number] >= need

    def put(self, number: int, sample: int, size: int, need: int) -> None:
        self.members[number].append(sample)
        self.tokens_left[number] -= size
        self.patches_left[number] -= need


def spread(
    costs: Costs, num_bins: int, capacity_tokens: int, capacity_patches: int
) -> tuple[list[list[int]], list[int]]:
    """Exactly `num_bins` bins of like mixture, tokens and patches, and the samples left over.

    The first samples, and those too large for the gaps that these leave, are dealt out to the emptiest bins; the others
    fill the gaps, best fit decreasing. O(log N) per sample.
    """
    table = np.asarray(costs, dtype=np.int64).reshape(-1, 2)
    _check(table, capacity_tokens, capacity_patches)
    share = np.cumsum(table, axis=0) / (num_bins * np.array([capacity_tokens, capacity_patches]))
    is_dealt = (share.max(axis=1) <= _BULK_SHARE) | (table[:, 0] > (1 - _BULK_SHARE) * capacity_tokens)
    sizes, needs = table[:, 0].tolist(), table[:, 1].tolist()
    bins = _Bins([[] for _ in range(num_bins)], [capacity_tokens] * num_bins, [capacity_patches] * num_bins)
    waiting = _deal(np.flatnonzero(is_dealt).tolist(), sizes, needs, bins)
    rest = [*waiting, *np.flatnonzero(~is_dealt).tolist()]
    left_over = _fill_gaps(sorted(rest, key=lambda i: (-sizes[i], -needs[i], i)), sizes, needs, bins)
    return bins.members, sorted(left_over)


def _deal(samples: Sequence[int], sizes: Sequence[int], needs: Sequence[int], bins: _Bins) -> list[int]:
    """Put each sample into the emptiest bin, large samples first; returns those without room in the bins looked at.

    Emptiest in what the sample has more of, tokens or patches, as a share of all samples' total: so pictures level the
    patches and texts the tokens. Shares of the capacity would not do: where tokens bind, they never look at patches.
    """
    total_tokens, total_patches = sum(sizes[i] for i in samples), sum(needs[i] for i in samples)
    by_tokens = [(-left, number) for number, left in enumerate(bins.tokens_left)]
    by_patches = [(-left, number) for number, left in enumerate(bins.patches_left)]
    waiting: list[int] = []
    # size / total_tokens and need / total_patches, times both totals. Ties keep the order of the input.
    for sample in sorted(samples, key=lambda i: -max(sizes[i] * total_patches, needs[i] * total_tokens)):
        size, need = sizes[sample], needs[sample]
        is_picture = need * total_tokens > size * total_patches
        heap, left = (by_patches, bins.patches_left) if is_picture else (by_tokens, bins.tokens_left)
        number = _emptiest(heap, left, size, need, bins)
        if number is None:
            waiting.append(sample)
            continue
        bins.put(number, sample, size, need)
        heapq.heappush(by_tokens, (-bins.tokens_left[number], number))
        if need:
            heapq.heappush(by_patches, (-bins.patches_left[number], number))
    return waiting


def _emptiest(heap: list[tuple[int, int]], left: list[int], size: int, need: int, bins: _Bins) -> int | None:
    """The bin with room that has most left; None if the first few have no room. Outdated entries of the heap go."""
    without_room: list[tuple[int, int]] = []
    found = None
    while heap and found is None and len(without_room) < _MAX_LOOKS:
        entry = heapq.heappop(heap)
        number = entry[1]
        if -entry[0] != left[number]:
            continue
        if bins.has_room(number, size, need):
            found = number
        else:
            without_room.append(entry)
    for entry in without_room:
        heapq.heappush(heap, entry)
    return found


def _fill_gaps(order: Iterable[int], sizes: Sequence[int], needs: Sequence[int], bins: _Bins) -> list[int]:
    """Best fit by tokens; returns the samples that fit nowhere."""
    stacks: list[list[int]] = [[] for _ in range(max(bins.tokens_left) + 1)]
    bits = 0
    # Of bins with equally many tokens left, the one with the most patches left is looked at first: it stands last.
    for number in sorted(range(len(bins.members)), key=lambda b: (bins.patches_left[b], b)):
        stacks[bins.tokens_left[number]].append(number)
        bits |= 1 << bins.tokens_left[number]
    left_over: list[int] = []
    for sample in order:
        size, need = sizes[sample], needs[sample]
        space, place = _best_fit(bits, size, need, stacks, bins.patches_left)
        if place < 0:
            left_over.append(sample)
            continue
        number = stacks[space].pop(place)
        if not stacks[space]:
            bits ^= 1 << space
        bins.put(number, sample, size, need)
        stacks[space - size].append(number)
        bits |= 1 << (space - size)
    return left_over


def efficiency(bins: Sequence[Sequence[int]], costs: Costs, capacity_tokens: int) -> float:
    """Share of token places that are filled."""
    table = np.asarray(costs, dtype=np.int64).reshape(-1, 2)
    return float(table[:, 0].sum()) / (len(bins) * capacity_tokens)


def level(loads: Sequence[int], num_ranks: int) -> list[list[int]]:
    """Deal rows to ranks: equally many each, loads as even as a greedy rule gets them. Returns row numbers per rank.

    Raises:
        ValueError: the rows cannot be dealt evenly.
    """
    if len(loads) % num_ranks:
        raise ValueError(
            f"{len(loads)} rows cannot be dealt evenly to {num_ranks} ranks; use a divisor of {len(loads)}"
        )
    room = len(loads) // num_ranks
    ranks: list[list[int]] = [[] for _ in range(num_ranks)]
    with_room = [(0, rank) for rank in range(num_ranks)]
    for row in sorted(range(len(loads)), key=lambda i: (-loads[i], i)):
        load, rank = heapq.heappop(with_room)
        ranks[rank].append(row)
        if len(ranks[rank]) < room:
            heapq.heappush(with_room, (load + loads[row], rank))
    return [sorted(rows) for rows in ranks]


def _best_fit(bits: int, size: int, need: int, stacks: list[list[int]], patches_left: list[int]) -> tuple[int, int]:
    """(remaining tokens, place in that stack) of the fullest bin that has room for both; place -1: none."""
    rest = bits >> size
    space, looks = size, 0
    while rest:
        step = (rest & -rest).bit_length() - 1
        space += step
        stack = stacks[space]
        for place in range(len(stack) - 1, -1, -1):
            if patches_left[stack[place]] >= need:
                return space, place
            looks += 1
            if looks >= _MAX_LOOKS:
                return space, -1
        rest >>= step + 1
        space += 1
    return space, -1


def _check(table: npt.NDArray[np.int64], capacity_tokens: int, capacity_patches: int) -> None:
    too_big = np.flatnonzero((table[:, 0] > capacity_tokens) | (table[:, 1] > capacity_patches) | (table[:, 0] < 1))
    if len(too_big):
        first = int(too_big[0])
        raise ValueError(
            f"{len(too_big)} samples fit no row of {capacity_tokens} tokens and {capacity_patches} patches; first: "
            f"number {first}, {table[first, 0]} tokens and {table[first, 1]} patches: raise sequence_length or "
            "max_patches_per_row, or filter such samples in curation"
        )
