"""Curves and bars as small standalone SVG files, for the artifact view of a run. The same values give the same bytes.

Drawn without a plotting library: its import alone would cost every stage a second.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

_COLOURS = (
    "#3b6fd8",
    "#d9622b",
    "#2c9c69",
    "#8a56c9",
    "#c23b72",
    "#9a7b1c",
    "#3f8fa8",
    "#6b7280",
    "#b45309",
    "#0f766e",
)
_WIDTH, _HEIGHT = 720, 360
_LEFT, _TOP, _BOTTOM, _LEGEND = 64, 36, 44, 170
# More points than pixels show nothing more.
_MAX_POINTS = 400
_NUM_TICKS = 5
_BAR_HEIGHT = 22
_TEXT = 'font-family="sans-serif" font-size="12" fill="#4b5563"'


@dataclass(frozen=True, kw_only=True)
class Series:
    name: str
    points: Sequence[tuple[float, float]]
    """(x, y) by rising x. Points that are no finite numbers are left out."""


@dataclass(frozen=True)
class _Scale:
    """Values from `low` to `high` on pixels from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def line_chart(title: str, series: Sequence[Series], *, x_label: str, y_label: str) -> bytes:
    """Empty if no series has a point."""
    drawn = [(s.name, points) for s in series if (points := _thinned(_finite(s.points)))]
    if not drawn:
        return b""
    xs = [x for _, points in drawn for x, _ in points]
    ys = [y for _, points in drawn for _, y in points]
    x_ticks, y_ticks = _ticks(min(xs), max(xs)), _ticks(min(ys), max(ys))
    x = _Scale(min(xs[0], *xs, x_ticks[0]), max(*xs, x_ticks[-1]), _LEFT, _WIDTH - _LEGEND)
    y = _Scale(min(*ys, y_ticks[0]), max(*ys, y_ticks[-1]), _HEIGHT - _BOTTOM, _TOP)
    parts = _axes(x, y, x_ticks, y_ticks, x_label, y_label)
    for index, (name, points) in enumerate(drawn):
        parts += _curve(name, points, index, x, y)
    return _svg(title, parts, _HEIGHT)


def bar_chart(title: str, values: Mapping[str, float], *, unit: str) -> bytes:
    """One horizontal bar per name, from 0; empty without finite values."""
    rows = [(name, value) for name, value in values.items() if math.isfinite(value)]
    if not rows:
        return b""
    low, high = min(0.0, *(v for _, v in rows)), max(0.0, *(v for _, v in rows))
    x = _Scale(low, high if high > low else low + 1.0, 220, _WIDTH - 90)
    parts = []
    for index, (name, value) in enumerate(rows):
        top = _TOP + index * _BAR_HEIGHT
        left, right = sorted((x(0.0), x(value)))
        parts.append(f'<text x="212" y="{top + 13}" text-anchor="end" {_TEXT}>{escape(name)}</text>')
        bar = f'<rect x="{left:.1f}" y="{top}" width="{max(right - left, 1.0):.1f}" height="{_BAR_HEIGHT - 6}"'
        parts.append(f'{bar} fill="{_COLOURS[0]}"/>')
        parts.append(f'<text x="{right + 6:.1f}" y="{top + 13}" {_TEXT}>{_number(value)}</text>')
    height = _TOP + len(rows) * _BAR_HEIGHT + 24
    parts.append(f'<text x="{_WIDTH / 2:.0f}" y="{height - 8}" text-anchor="middle" {_TEXT}>{escape(unit)}</text>')
    return _svg(title, parts, height)


def _finite(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Of a long curve the means of neighbouring points."""
    width = math.ceil(len(points) / _MAX_POINTS)
    if width <= 1:
        return points
    chunks = [points[start : start + width] for start in range(0, len(points), width)]
    return [(chunk[-1][0], sum(y for _, y in chunk) / len(chunk)) for chunk in chunks]


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers from at most `low` to at least `high`: 1, 2 or 5 times a power of ten apart."""
    if high <= low:
        low, high = low - 0.5 * (abs(low) or 1.0), high + 0.5 * (abs(high) or 1.0)
    raw = (high - low) / _NUM_TICKS
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= raw)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [index * step for index in range(first, last + 1)]


def _axes(
    x: _Scale, y: _Scale, x_ticks: Sequence[float], y_ticks: Sequence[float], x_label: str, y_label: str
) -> list[str]:
    parts = []
    for tick in y_ticks:
        at = f"{y(tick):.1f}"
        parts.append(f'<line x1="{x.start}" x2="{x.end}" y1="{at}" y2="{at}" stroke="#e5e7eb"/>')
        parts.append(f'<text x="{x.start - 8}" y="{y(tick) + 4:.1f}" text-anchor="end" {_TEXT}>{_number(tick)}</text>')
    below = y.start + 18
    parts += [
        f'<text x="{x(tick):.1f}" y="{below}" text-anchor="middle" {_TEXT}>{_number(tick)}</text>' for tick in x_ticks
    ]
    middle = (x.start + x.end) / 2
    parts.append(f'<text x="{middle:.0f}" y="{y.start + 36}" text-anchor="middle" {_TEXT}>{escape(x_label)}</text>')
    parts.append(f'<text x="{x.start - 56}" y="{_TOP - 10}" {_TEXT}>{escape(y_label)}</text>')
    return parts


def _curve(name: str, points: Sequence[tuple[float, float]], index: int, x: _Scale, y: _Scale) -> list[str]:
    colour = _COLOURS[index % len(_COLOURS)]
    dashes = ' stroke-dasharray="5 3"' if index >= len(_COLOURS) else ""
    path = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in points)
    parts = [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8"{dashes}/>']
    if len(points) == 1:
        parts = [f'<circle cx="{x(points[0][0]):.1f}" cy="{y(points[0][1]):.1f}" r="3" fill="{colour}"/>']
    left, at = x.end + 14, _TOP + 8 + index * 18
    parts.append(f'<line x1="{left}" x2="{left + 16}" y1="{at}" y2="{at}" stroke="{colour}" stroke-width="3"{dashes}/>')
    parts.append(f'<text x="{left + 22}" y="{at + 4}" {_TEXT}>{escape(name)}</text>')
    return parts


def _number(value: float) -> str:
    return f"{value:.4g}"


def _svg(title: str, parts: Sequence[str], height: int) -> bytes:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}">'
    )
    white = f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>'
    shown = f'<text x="{_WIDTH / 2:.0f}" y="20" text-anchor="middle" {_TEXT} font-weight="bold">{escape(title)}</text>'
    return "\n".join([head, white, shown, *parts, "</svg>", ""]).encode()
