"""How series become a picture: lines over time, bars, one large number, a table. HTML with inline SVG, no script."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from mimo_vl.observability.dashboards.numbers import format_value, ticks
from mimo_vl.observability.dashboards.prometheus_api import Series, TimeRange

_WIDTH, _HEIGHT = 560, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 8, 8, 22
# Readable on light and dark ground.
_COLORS = ("#4c8bf5", "#e8710a", "#12a150", "#c5398f", "#8a63d2", "#c79a00", "#0fa3b1", "#d64545", "#7a8b99", "#96721f")
_THRESHOLD_COLORS = {"green": "#12a150", "orange": "#e8710a", "red": "#d64545"}
_NUM_TIME_TICKS = 5
_LEGEND_ROWS = 24


@dataclass(frozen=True, kw_only=True)
class Named:
    """A series with the text of its legend."""

    name: str
    series: Series


@dataclass(frozen=True, kw_only=True)
class Step:
    """From `value` on this colour; None = from the beginning."""

    value: float | None
    color: str

    @property
    def css(self) -> str:
        return _THRESHOLD_COLORS.get(self.color, self.color)


def legend_of(template: str, labels: Mapping[str, str]) -> str:
    """`{{stage}}-{{attempt}}` with the labels' values; what a series does not have is left empty."""
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda found: labels.get(found.group(1), ""), template).strip()


def color_at(steps: Sequence[Step], value: float) -> str:
    reached = [step for step in steps if step.value is None or value >= step.value]
    return reached[-1].css if reached else _COLORS[0]


def lines(found: Sequence[Named], over: TimeRange, unit: str, steps: Sequence[Step]) -> str:
    """A chart and its legend with the last values."""
    values = [value for named in found for _, value in named.series.points]
    low, high = min(values), max(values)
    # A flat line lies in the middle.
    margin = (high - low) * 0.05 or abs(high) * 0.1 or 1.0
    marks = ticks(min(0.0, low) if low >= 0 and low < 0.5 * high else low - margin, high + margin)
    place = _Place(low=marks[0], high=marks[-1], over=over)
    parts = [*_grid(place, marks, unit), *_time_axis(place), *_threshold_lines(place, steps)]
    parts += [_line(place, named, _COLORS[i % len(_COLORS)]) for i, named in enumerate(found)]
    svg = f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">{"".join(parts)}</svg>'
    return svg + _legend(found, unit)


@dataclass(frozen=True, kw_only=True)
class _Place:
    low: float
    high: float
    over: TimeRange

    def x(self, at_s: float) -> float:
        share = (at_s - self.over.start_s) / max(1e-9, self.over.end_s - self.over.start_s)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        share = (value - self.low) / max(1e-300, self.high - self.low)
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)


def _grid(place: _Place, marks: Sequence[float], unit: str) -> list[str]:
    found = []
    for mark in marks:
        y = place.y(mark)
        found.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        text = escape(format_value(mark, unit))
        found.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
    return found


def _time_axis(place: _Place) -> list[str]:
    over, found = place.over, []
    form = "%H:%M:%S" if over.end_s - over.start_s < 600 else "%H:%M"
    for i in range(_NUM_TIME_TICKS):
        at_s = over.start_s + i * (over.end_s - over.start_s) / (_NUM_TIME_TICKS - 1)
        anchor = ("start", "middle", "end")[(i > 0) + (i == _NUM_TIME_TICKS - 1)]
        text = time.strftime(form, time.gmtime(at_s))
        found.append(f'<text x="{place.x(at_s):.1f}" y="{_HEIGHT - 6}" text-anchor="{anchor}">{text}</text>')
    return found


def _threshold_lines(place: _Place, steps: Sequence[Step]) -> list[str]:
    return [
        f'<line class="threshold" stroke="{step.css}" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" '
        f'y1="{place.y(step.value):.1f}" y2="{place.y(step.value):.1f}"/>'
        for step in steps
        if step.value is not None and place.low <= step.value <= place.high
    ]


def _line(place: _Place, named: Named, color: str) -> str:
    """Gaps of more than two steps are not drawn over; a point alone is a dot."""
    pieces: list[list[tuple[float, float]]] = []
    before_s = float("-inf")
    for at_s, value in named.series.points:
        if at_s - before_s > 2 * place.over.step_s:
            pieces.append([])
        pieces[-1].append((place.x(at_s), place.y(value)))
        before_s = at_s
    drawn = [
        f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in piece)}"/>'
        if len(piece) > 1
        else f'<circle cx="{piece[0][0]:.1f}" cy="{piece[0][1]:.1f}" r="3" fill="{color}"/>'
        for piece in pieces
    ]
    return f'<g class="series" stroke="{color}"><title>{escape(named.name)}</title>{"".join(drawn)}</g>'


def _legend(found: Sequence[Named], unit: str) -> str:
    rows = "".join(
        f'<li><i style="background:{_COLORS[i % len(_COLORS)]}"></i><span>{escape(named.name)}</span>'
        f"<b>{escape(format_value(named.series.last, unit))}</b></li>"
        for i, named in enumerate(found[:_LEGEND_ROWS])
    )
    more = len(found) - _LEGEND_ROWS
    return f'<ul class="legend">{rows}{f"<li>and {more} more</li>" if more > 0 else ""}</ul>'


def bars(found: Sequence[Named], unit: str, steps: Sequence[Step]) -> str:
    largest = max((abs(named.series.last) for named in found), default=0.0) or 1.0
    return f"<table class='bars'>{''.join(_bar(named, largest, unit, steps) for named in found)}</table>"


def _bar(named: Named, largest: float, unit: str, steps: Sequence[Step]) -> str:
    value = named.series.last
    style = f"width:{100 * abs(value) / largest:.1f}%;background:{color_at(steps, value)}"
    bar = f"<div class='bar' style='{style}'></div>"
    text = escape(format_value(value, unit))
    return f"<tr><th>{escape(named.name)}</th><td>{bar}</td><td class='value'>{text}</td></tr>"


def stats(found: Sequence[Named], unit: str, steps: Sequence[Step]) -> str:
    return "".join(
        f"<div class='stat'><b style='color:{color_at(steps, named.series.last)}'>"
        f"{escape(format_value(named.series.last, unit))}</b><span>{escape(named.name)}</span></div>"
        for named in found
    )


def table(found: Sequence[Named], unit: str) -> str:
    """One column for each label, then the value."""
    labels = sorted({label for named in found for label in named.series.labels if label != "__name__"})
    head = "".join(f"<th>{escape(label)}</th>" for label in [*labels, "value"])
    rows = "".join(
        "<tr>"
        + "".join(f"<td>{escape(named.series.labels.get(label, ''))}</td>" for label in labels)
        + f"<td class='value'>{escape(format_value(named.series.last, unit))}</td></tr>"
        for named in sorted(found, key=lambda n: [n.series.labels.get(label, "") for label in labels])
    )
    return f"<table class='rows'><tr>{head}</tr>{rows}</table>"
