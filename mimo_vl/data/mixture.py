"""Which data type and which sample stands at slot k of the endless training stream? A pure function of (seed, k)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from mimo_vl.errors import ConfigError

_MASK = 0xFFFFFFFFFFFFFFFF


class MixtureStream:
    """Slots in order: the type by a hash of (seed, slot), the sample by that type's own shuffled epochs."""

    def __init__(self, sizes: Mapping[str, int], weights: Mapping[str, float], *, seed: int) -> None:
        self.names = sorted(name for name, weight in weights.items() if weight > 0)
        empty = [name for name in self.names if sizes.get(name, 0) == 0]
        if empty:
            raise ConfigError(
                f"mixture: weights for {empty}, which have no samples; got datasets "
                f"{sorted(n for n, s in sizes.items() if s)}: lower data.synthesis or remove the weights"
            )
        self._sizes = [sizes[name] for name in self.names]
        shares = np.array([weights[name] for name in self.names])
        self._edges = np.cumsum(shares) / shares.sum()
        self._seed = seed

    def types(self, start: int, count: int) -> npt.NDArray[np.int64]:
        """Number (in `names`) of the type at slots start, start + 1, ..."""
        slots = np.arange(start, start + count, dtype=np.uint64)
        uniform = _hash(self._seed, slots) / 2.0**64
        return np.minimum(np.searchsorted(self._edges, uniform, side="right"), len(self.names) - 1)

    def sample(self, type_number: int, occurrence: int) -> int:
        """Index of the sample at the n-th occurrence of a type: each epoch is its own permutation."""
        size = self._sizes[type_number]
        epoch, position = divmod(occurrence, size)
        return int(_permutation(self._seed, self.names[type_number], epoch, size)[position])


@lru_cache(maxsize=64)
def _permutation(seed: int, name: str, epoch: int, size: int) -> npt.NDArray[np.int64]:
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    return np.random.default_rng([seed, key, epoch]).permutation(size)


def _hash(seed: int, slots: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """splitmix64 of seed and slot (Steele, Lea, Flood 2014)."""
    with np.errstate(over="ignore"):
        start = np.array([seed & _MASK], dtype=np.uint64) * np.uint64(0xD1342543DE82EF95)
        x = (slots + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + start
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))
