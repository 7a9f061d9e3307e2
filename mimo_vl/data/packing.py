"""Which samples share a row? Best-fit decreasing by tokens under a patch cap, and levelling of patches across ranks.

`pack` fills best: for data sets of which every row is used. `spread` is for training rows: sorting by length also sorts
by data type, so that a step would see grounding only and the next one captions only; it mixes first and fills after.

Best fit with a bitset: bins lie in stacks by their remaining tokens, and one big integer has a bit for every non-empty
stack, so the best fit for n tokens is the lowest set bit of `bits >> n`. Bins without patches left are passed over.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Costs = npt.NDArray[np.int64] | Sequence[tuple[int, int]]

# How many bins are looked at for their patches before a new one is opened: bounds the time per sample.
_MAX_LOOKS = 32
# `spread` deals out samples in their order until this share of the bins is full; the rest fills gaps.
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


def spread(
    costs: Costs, num_bins: int, capacity_tokens: int, capacity_patches: int
) -> tuple[list[list[int]], list[int]]:
    """Exactly `num_bins` bins of like mixture, and the samples left over.

    The first samples go, in the given order, each to the emptiest bin; the others fill the gaps, best fit decreasing.
    """
    table = np.asarray(costs, dtype=np.int64).reshape(-1, 2)
    _check(table, capacity_tokens, capacity_patches)
    share = np.cumsum(table, axis=0) / (num_bins * np.array([capacity_tokens, capacity_patches]))
    num_bulk = int((share.max(axis=1) <= _BULK_SHARE).sum())
    bins: list[list[int]] = [[] for _ in range(num_bins)]
    tokens_left, patches_left = [capacity_tokens] * num_bins, [capacity_patches] * num_bins
    tail = sorted(range(num_bulk, len(table)), key=lambda i: (-table[i, 0], i))
    left_over: list[int] = []
    for sample in [*range(num_bulk), *tail]:
        size, need = table[sample].tolist()
        fitting = [b for b in range(num_bins) if tokens_left[b] >= size and patches_left[b] >= need]
        if not fitting:
            left_over.append(sample)
            continue
        choose = max if sample < num_bulk else min
        chosen = choose(fitting, key=lambda b: (tokens_left[b], -b))
        bins[chosen].append(sample)
        tokens_left[chosen] -= size
        patches_left[chosen] -= need
    return bins, sorted(left_over)


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
    sums = [0] * num_ranks
    for row in sorted(range(len(loads)), key=lambda i: (-loads[i], i)):
        rank = min((r for r in range(num_ranks) if len(ranks[r]) < room), key=lambda r: (sums[r], r))
        ranks[rank].append(row)
        sums[rank] += loads[row]
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
