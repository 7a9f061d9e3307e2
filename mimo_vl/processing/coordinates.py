"""How boxes move between the stored image and the resized image that the model sees (absolute pixels of the latter)."""

from __future__ import annotations

import math
from collections.abc import Sequence

Size = tuple[int, int]
"""(width, height) in pixels."""


def to_resized(coordinates: Sequence[float], *, stored: Size, resized: Size) -> list[int]:
    """Scale x, y, x, y, ... into the resized image, round half up, clamp to its border.

    to_resized([10, 10, 540, 599], stored=(540, 599), resized=(532, 588)) == [10, 10, 532, 588]
    """
    limits = [resized[i % 2] for i in range(len(coordinates))]
    scaled = [v * resized[i % 2] / stored[i % 2] for i, v in enumerate(coordinates)]
    return [min(max(math.floor(v + 0.5), 0), limit) for v, limit in zip(scaled, limits, strict=True)]


def to_stored(coordinates: Sequence[float], *, stored: Size, resized: Size) -> list[float]:
    """The inverse, for predictions: clamped to the border, since a model may point outside."""
    scaled = [v * stored[i % 2] / resized[i % 2] for i, v in enumerate(coordinates)]
    return [min(max(v, 0.0), float(stored[i % 2])) for i, v in enumerate(scaled)]
