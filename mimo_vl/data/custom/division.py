"""Which lines of own data are for training and which are held out: no picture and no bare question on both sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mimo_vl.data.custom.folder import CustomItem
from mimo_vl.data.split import partition, text_digest
from mimo_vl.vocabulary import Split


@dataclass(frozen=True)
class _Grouped:
    """`digest` is the same for all lines that share a source, directly or through others."""

    digest: str
    item: CustomItem


def source_digests(item: CustomItem) -> tuple[str, ...]:
    """Of the pictures; of the question where there is none."""
    return tuple(m.sha256 for m in item.media) or (text_digest(item.line.question),)


def divide(items: Sequence[CustomItem], *, seed: int, heldout_fraction: float) -> dict[Split, list[CustomItem]]:
    leader: dict[str, str] = {}

    def find(digest: str) -> str:
        while leader.setdefault(digest, digest) != digest:
            digest = leader[digest]
        return digest

    for item in items:
        first, *others = sorted(find(d) for d in source_digests(item))
        for other in others:
            leader[other] = first
    grouped = [_Grouped(find(source_digests(item)[0]), item) for item in items]
    parts = partition(grouped, seed, heldout_fraction)
    return {split: [g.item for g in parts[split]] for split in Split}
