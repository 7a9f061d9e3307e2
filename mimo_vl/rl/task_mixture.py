"""Which prompts come next? Quotas per family and a fixed prompt order, as pure functions of (seed, step, position).

A family is an endless stream: position p is item perm_e(p mod n) of epoch e = p // n, perm_e drawn from (seed, family,
e). The durable state is therefore one position per family, and the easy pool (MiMo-7B report: prompts that were always
solved leave the stream; each launch draws from the pool with probability 10 %).
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from mimo_vl.vocabulary import RlFamily

# Fractional parts of multiples of the golden ratio spread evenly, so quotas meet their weights over few steps.
_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0


@dataclass(frozen=True, kw_only=True)
class Launch:
    """One prompt to be rolled out. `position` is that in the family's stream, None when drawn from the easy pool."""

    family: RlFamily
    prompt_index: int
    position: int | None


def family_quotas(step: int, num_prompts: int, weights: Mapping[RlFamily, float]) -> dict[RlFamily, int]:
    """Valid groups that each family contributes to the batch of `step`; they sum to `num_prompts`.

    Systematic rounding: family f owns an interval of length num_prompts * share on a line; points at distance 1 with a
    step-dependent offset are counted. So each quota is the floor or ceiling of its ideal value.
    """
    total = sum(weights.values())
    offset = (step * _GOLDEN) % 1.0
    quotas: dict[RlFamily, int] = {}
    cumulative, before = 0.0, 0
    families = sorted(f for f, weight in weights.items() if weight > 0)
    for family in families:
        cumulative += weights[family]
        # Exactly the total at the end, whatever the floating-point sum says.
        reached = num_prompts if family == families[-1] else math.floor(num_prompts * cumulative / total + offset)
        quotas[family] = reached - before
        before = reached
    return quotas


def stream_item(seed: int, family: RlFamily, num_items: int, position: int) -> int:
    """Index of the prompt at `position` of the family's stream."""
    epoch, within = divmod(position, num_items)
    return _permutation(seed, family, num_items, epoch)[within]


def launches(
    *, seed: int, step: int, family: RlFamily, num_items: int, position: int, pool: Collection[int], pool_share: float
) -> Iterator[Launch]:
    """Launches of a family in this step, starting at stream position `position`; no prompt comes twice.

    Launch k draws from the pool if hash(seed, step, family, k) < pool_share; otherwise the next prompt of the stream
    that is not in the pool follows. Ends when every prompt outside the pool was launched.
    """
    pooled = sorted(pool)
    outside = set(range(num_items)) - set(pooled)
    for k in itertools.count():
        draw, choice = _unit_hashes(f"{seed}\0{step}\0{family}\0{k}")
        if pooled and (draw < pool_share or not outside):
            yield Launch(family=family, prompt_index=pooled.pop(int(choice * len(pooled))), position=None)
            continue
        if not outside:
            return
        while (item := stream_item(seed, family, num_items, position)) not in outside:
            position += 1
        outside.remove(item)
        yield Launch(family=family, prompt_index=item, position=position)
        position += 1


@functools.lru_cache(maxsize=64)
def _permutation(seed: int, family: RlFamily, num_items: int, epoch: int) -> tuple[int, ...]:
    digest = hashlib.sha256(f"{seed}\0{family}\0{epoch}".encode()).digest()
    generator = np.random.Generator(np.random.Philox(key=np.frombuffer(digest[:16], dtype=np.uint64)))
    return tuple(generator.permutation(num_items).tolist())


def _unit_hashes(name: str) -> tuple[float, float]:
    """Two independent numbers in [0, 1)."""
    digest = hashlib.sha256(name.encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64, int.from_bytes(digest[8:16]) / 2**64
