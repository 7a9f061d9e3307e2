"""Which sources are for training and which are held out: a pure function of seed and digest."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Protocol, TypeVar

from mimo_vl.data.sources import Sources
from mimo_vl.vocabulary import Split


class _HasDigest(Protocol):
    @property
    def digest(self) -> str: ...


S = TypeVar("S", bound=_HasDigest)


def split_sources(sources: Sources, *, seed: int, heldout_fraction: float) -> dict[Split, Sources]:
    """Hold out a share of each kind, by digest: identical content never lands on both sides."""
    digits = partition(sources.digits, seed, heldout_fraction)
    photographs = partition(sources.photographs, seed, heldout_fraction)
    paragraphs = partition(sources.paragraphs, seed, heldout_fraction)
    return {
        split: Sources(digits=digits[split], photographs=photographs[split], paragraphs=paragraphs[split])
        for split in Split
    }


def split_of_text(text: str, *, seed: int, heldout_fraction: float) -> Split:
    """Side of a problem that is not a file, such as the arithmetic problem `3+5-2`."""
    share = int(_rank(seed, text_digest(text)), 16) / 16**64
    return Split.HELDOUT if share < heldout_fraction else Split.TRAIN


def text_digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def partition(items: Sequence[S], seed: int, heldout_fraction: float) -> dict[Split, tuple[S, ...]]:
    """The digests with the smallest rank are held out, at least one when there are two or more."""
    digests = sorted({item.digest for item in items}, key=lambda digest: _rank(seed, digest))
    num_heldout = math.ceil(heldout_fraction * len(digests)) if len(digests) > 1 else 0
    heldout = set(digests[:num_heldout])
    return {
        Split.TRAIN: tuple(item for item in items if item.digest not in heldout),
        Split.HELDOUT: tuple(item for item in items if item.digest in heldout),
    }


def _rank(seed: int, digest: str) -> str:
    return hashlib.sha256(f"{seed}:{digest}".encode()).hexdigest()
