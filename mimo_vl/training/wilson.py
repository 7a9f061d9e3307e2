"""Confidence interval of a share (Wilson 1927): sensible for few items and for shares near 0 or 1."""

from __future__ import annotations

import math

# Two-sided 95 %.
_Z = 1.959963984540054


def wilson_interval(num_right: int, num_items: int) -> tuple[float, float]:
    """(low, high) of num_right / num_items; (0, 1) without items."""
    if num_items == 0:
        return 0.0, 1.0
    share = num_right / num_items
    spread = _Z**2 / num_items
    centre = (share + spread / 2) / (1 + spread)
    half = _Z * math.sqrt(share * (1 - share) / num_items + spread / (4 * num_items)) / (1 + spread)
    return max(0.0, centre - half), min(1.0, centre + half)
