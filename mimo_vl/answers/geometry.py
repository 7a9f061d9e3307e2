"""How well boxes and points agree: IoU, GIoU, containment, optimal one-to-one matching.

Coordinates are floats in one common space, given by the caller; a coordinate mode is never guessed from values.
GIoU: Rezatofighi et al. 2019, GIoU = IoU - (|C| - |A u B|) / |C| with C the smallest enclosing box.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

P = TypeVar("P")
Q = TypeVar("Q")


class Point(NamedTuple):
    x: float
    y: float


class Box(NamedTuple):
    """Closed box; x1 <= x2 and y1 <= y2 (see `ordered`)."""

    x1: float
    y1: float
    x2: float
    y2: float

    @property
    def area(self) -> float:
        return max(0.0, self.x2 - self.x1) * max(0.0, self.y2 - self.y1)

    @property
    def center(self) -> Point:
        return Point((self.x1 + self.x2) / 2, (self.y1 + self.y2) / 2)

    def contains(self, point: Point) -> bool:
        """Edges count as inside."""
        return self.x1 <= point.x <= self.x2 and self.y1 <= point.y <= self.y2

    def scaled(self, factor_x: float, factor_y: float) -> Box:
        return Box(self.x1 * factor_x, self.y1 * factor_y, self.x2 * factor_x, self.y2 * factor_y)

    def enlarged(self, factor: float) -> Box:
        """Grown about its centre."""
        half_width, half_height = factor * (self.x2 - self.x1) / 2, factor * (self.y2 - self.y1) / 2
        x, y = self.center
        return Box(x - half_width, y - half_height, x + half_width, y + half_height)


def ordered(x1: float, y1: float, x2: float, y2: float) -> tuple[Box, bool]:
    """The box with its corners sorted, and whether they had to be."""
    box = Box(min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))
    return box, box != (x1, y1, x2, y2)


def intersection_area(a: Box, b: Box) -> float:
    return max(0.0, min(a.x2, b.x2) - max(a.x1, b.x1)) * max(0.0, min(a.y2, b.y2) - max(a.y1, b.y1))


def iou(a: Box, b: Box) -> float:
    """In [0, 1]; 0 when the union has no area."""
    intersection = intersection_area(a, b)
    union = a.area + b.area - intersection
    return intersection / union if union > 0 else 0.0


def giou(a: Box, b: Box) -> float:
    """In (-1, 1]; 0 when the enclosing box has no area."""
    intersection = intersection_area(a, b)
    union = a.area + b.area - intersection
    enclosing = Box(min(a.x1, b.x1), min(a.y1, b.y1), max(a.x2, b.x2), max(a.y2, b.y2)).area
    if enclosing <= 0:
        return 0.0
    return (intersection / union if union > 0 else 0.0) - (enclosing - union) / enclosing


def matched_mean(predicted: Sequence[P], true: Sequence[Q], score: Callable[[P, Q], float]) -> float:
    """Sum of scores under the best one-to-one matching, divided by max(#predicted, #true): extra answers cost.

    Both empty gives 0, since nothing was found.
    """
    if not predicted or not true:
        return 0.0
    table = [[score(p, t) for t in true] for p in predicted]
    if len(predicted) == 1 or len(true) == 1:
        best = max(value for row in table for value in row)
        return best / max(len(predicted), len(true))
    # scipy costs 0.2 s to import; one box against one box, the usual case, does not pay it.
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(table, maximize=True)
    total = sum(table[int(i)][int(j)] for i, j in zip(rows, columns, strict=True))
    return total / max(len(predicted), len(true))
