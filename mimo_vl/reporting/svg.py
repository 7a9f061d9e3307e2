"""Curves and intervals as inline SVG; colours are classes, so that the page's style sheet and dark mode decide them.

The same values give the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from mimo_vl.reporting.curves import MAX_POINTS, Band, Floats, Series, downsample

# One legend entry per colour; more curves start again, dashed.
NUM_COLOURS = 12
_WIDTH, _HEIGHT = 440.0, 220.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 52.0, 8.0, 8.0, 30.0
_NUM_TICKS = 5
# Curves of so many points get a running mean of a tenth of them.
_MIN_SMOOTHED = 20
_ROW_HEIGHT = 34.0
MODEL_CLASSES = {"base": "m-base", "sft": "m-sft", "rl": "m-rl"}


def curve_chart(curves: Sequence[tuple[str, Series]], replaced: Sequence[tuple[str, Series]], *, label: str) -> str:
    """Strong: the mean; faint: every point, or the range of the points that were averaged; dotted: replaced.

    The more curves there are, the fewer points each has: a chart has no more for a hundred than for a dozen.
    """
    num_points = MAX_POINTS * NUM_COLOURS // max(NUM_COLOURS, len(curves))
    bands = [(name, downsample(series, num_points)) for name, series in curves]
    old = [(name, downsample(series, num_points)) for name, series in replaced]
    scale = _Scale([band for _, band in [*bands, *old]])
    colour = {name: index for index, (name, _) in enumerate(bands)}
    parts = [_axes(scale)]
    for name, band in old:
        parts.append(_line(scale, band.steps, band.mean, f"c{colour[name] % NUM_COLOURS} old"))
    for name, band in bands:
        parts.extend(_curve(scale, band, name, colour[name]))
    return _svg(_WIDTH, _HEIGHT, label, "".join(parts))


def _curve(scale: _Scale, band: Band, name: str, index: int) -> list[str]:
    colour = f"c{index % NUM_COLOURS}" + (" dashed" if index >= NUM_COLOURS else "")
    if band.low is not band.mean:
        return [_area(scale, band, colour), _line(scale, band.steps, band.mean, colour, name)]
    if len(band.mean) < _MIN_SMOOTHED:
        return [_line(scale, band.steps, band.mean, colour, name)]
    smooth = _running_mean(band.mean, len(band.mean) // 10)
    return [
        _line(scale, band.steps, band.mean, f"{colour} faint"),
        _line(scale, band.steps, smooth, colour, name),
    ]


def interval_chart(rows: Sequence[tuple[str, Mapping[str, tuple[float, float, float]]]], *, label: str) -> str:
    """One row per family: each model's value as a dot on its interval (value, low, high), all in [0, 1]."""
    width, left, right = 720.0, 150.0, 16.0
    height = 26.0 + _ROW_HEIGHT * len(rows)

    def x(value: float) -> float:
        return left + (width - left - right) * min(1.0, max(0.0, value))

    parts = []
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(f'<path class="grid" d="M{x(tick):.1f} 0V{height - 22:.1f}"/>')
        parts.append(_text("tick", x(tick), height - 6, "middle", f"{tick:g}"))
    for number, (family, models) in enumerate(rows):
        middle = _ROW_HEIGHT * (number + 0.5) + 2
        parts.append(_text("name", left - 10, middle + 4, "end", escape(family)))
        for offset, (model, style) in zip((-8, 0, 8), MODEL_CLASSES.items(), strict=True):
            if model in models:
                value, low, high = models[model]
                y = middle + offset
                title = f"<title>{escape(family)}, {model}: {value:.3f} [{low:.3f}, {high:.3f}]</title>"
                line = f'<path class="bar" d="M{x(low):.1f} {y:.1f}H{x(high):.1f}"/>'
                parts.append(f'<g class="{style}">{title}{line}<circle cx="{x(value):.1f}" cy="{y:.1f}" r="4"/></g>')
    return _svg(width, height, label, "".join(parts), "intervals")


class _Scale:
    """From steps and values to the points of the drawing."""

    def __init__(self, bands: Sequence[Band]) -> None:
        drawn = [band for band in bands if len(band.steps)]
        self.first = min((float(b.steps[0]) for b in drawn), default=0.0)
        self.last = max((float(b.steps[-1]) for b in drawn), default=1.0)
        low = min((float(b.low.min()) for b in drawn), default=0.0)
        high = max((float(b.high.max()) for b in drawn), default=1.0)
        self.ticks = nice_ticks(low, high)
        self.low, self.high = min(low, self.ticks[0]), max(high, self.ticks[-1])

    def x(self, step: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (step - self.first) / ((self.last - self.first) or 1.0)

    def y(self, value: float) -> float:
        share = (value - self.low) / ((self.high - self.low) or 1.0)
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * share


def nice_ticks(low: float, high: float) -> list[float]:
    """About five round numbers that the values lie between, or beside."""
    if high <= low:
        high = low + (abs(low) or 1.0)
    raw = (high - low) / (_NUM_TICKS - 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
    first = math.floor(low / step)
    last = math.ceil(high / step - 1e-9)
    return [k * step for k in range(first, last + 1)]


def short_number(value: float) -> str:
    """0.25, 12k, 3.1G: at most a few characters."""
    if value == 0:
        return "0"
    for factor, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= factor:
            shown = value / (1e3 if unit == "k" else factor)
            return f"{shown:.3g}{unit}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def _axes(scale: _Scale) -> str:
    bottom = _HEIGHT - _BOTTOM
    parts = []
    for tick in scale.ticks:
        y = scale.y(tick)
        parts.append(f'<path class="grid" d="M{_LEFT:.0f} {y:.1f}H{_WIDTH - _RIGHT:.0f}"/>')
        parts.append(_text("tick", _LEFT - 6, y + 3.5, "end", short_number(tick)))
    for step, anchor in ((scale.first, "start"), (scale.last, "end")):
        parts.append(_text("tick", scale.x(step), bottom + 14, anchor, short_number(step)))
    parts.append(_text("tick", (_LEFT + _WIDTH - _RIGHT) / 2, bottom + 26, "middle", "step"))
    return "".join(parts)


def _text(style: str, x: float, y: float, anchor: str, content: str) -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{content}</text>'


def _line(scale: _Scale, steps: Floats, values: Floats, style: str, title: str = "") -> str:
    named = f"<title>{escape(title)}</title>" if title else ""
    return f'<path class="line {style}" d="M{_points(scale, steps, values)}">{named}</path>'


def _area(scale: _Scale, band: Band, style: str) -> str:
    there = _points(scale, band.steps, band.high)
    back = _points(scale, band.steps[::-1], band.low[::-1])
    return f'<path class="area {style}" d="M{there} {back}Z"/>'


def _points(scale: _Scale, steps: Floats, values: Floats) -> str:
    return " ".join(
        f"{scale.x(step):.1f} {scale.y(value):.1f}" for step, value in zip(steps.tolist(), values.tolist(), strict=True)
    )


def _running_mean(values: Floats, width: int) -> Floats:
    """Mean of the last `width` values, of fewer at the start."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(0, ends - width)
    means: Floats = (total[ends] - total[starts]) / (ends - starts)
    return means


def _svg(width: float, height: float, label: str, content: str, style: str = "curves") -> str:
    box = f'class="{style}" viewBox="0 0 {width:.0f} {height:.0f}"'
    return f'<svg {box} role="img" aria-label="{escape(label)}">{content}</svg>'
