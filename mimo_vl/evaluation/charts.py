"""Curves and intervals as inline SVG: the same values give the same bytes."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
from matplotlib.figure import Figure

# Colours of the three models, also used by the report's style sheet.
MODEL_COLOURS = {"base": "#9aa3b2", "sft": "#3b6fd8", "rl": "#d9622b"}
_CURVE_COLOURS = ("#3b6fd8", "#d9622b", "#2c9c69", "#8a56c9", "#c23b72", "#9a7b1c", "#3f8fa8")
_STYLE = {
    "svg.hashsalt": "mimo-vl",
    # Text stays text: small, searchable, in the page's font.
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#c5cad3",
    "axes.labelcolor": "#5b6472",
    "xtick.color": "#5b6472",
    "ytick.color": "#5b6472",
    "axes.grid": True,
    "grid.color": "#eceff3",
    "grid.linewidth": 0.8,
    "axes.axisbelow": True,
    "legend.frameon": False,
}


@dataclass(frozen=True, kw_only=True)
class Curve:
    name: str
    steps: Sequence[float]
    values: Sequence[float]


def curve_chart(
    curves: Sequence[Curve], *, y_label: str, key: str, size_inches: tuple[float, float] = (4.2, 2.4)
) -> str:
    """Values faint, their running mean (a tenth of the steps) strong; empty without values. `key`: unique per page."""
    drawn = [curve for curve in curves if len(curve.values) > 0]
    if not drawn:
        return ""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=size_inches, layout="constrained")
        axes = figure.subplots()
        for curve, colour in zip(drawn, _cycle(len(drawn)), strict=True):
            width = max(1, len(curve.values) // 10)
            if width > 1:
                axes.plot(curve.steps, curve.values, color=colour, alpha=0.22, linewidth=0.8)
            axes.plot(curve.steps, _running_mean(curve.values, width), color=colour, linewidth=1.6, label=curve.name)
        axes.set_xlabel("step")
        axes.set_ylabel(y_label)
        if len(drawn) > 1:
            axes.legend(fontsize=8, ncols=2)
        return _to_svg(figure, key=key)


def interval_chart(rows: Sequence[tuple[str, Mapping[str, tuple[float, float, float]]]]) -> str:
    """One line per family: each model's value as a dot on its interval (value, lo, hi), all in [0, 1]."""
    if not rows:
        return ""
    with mpl.rc_context(_STYLE | {"axes.grid.axis": "x"}):
        figure = Figure(figsize=(10.2, 0.7 + 0.36 * len(rows)), layout="constrained")
        axes = figure.subplots()
        for model, offset in (("base", -0.2), ("sft", 0.0), ("rl", 0.2)):
            points = [(i + offset, row[1][model]) for i, row in enumerate(rows) if model in row[1]]
            if not points:
                continue
            colour = MODEL_COLOURS[model]
            axes.hlines(
                [y for y, _ in points], [p[1] for _, p in points], [p[2] for _, p in points], colors=colour, lw=2
            )
            axes.scatter([p[0] for _, p in points], [y for y, _ in points], color=colour, s=22, label=model, zorder=3)
        axes.set_yticks(range(len(rows)), [name for name, _ in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlim(-0.01, 1.01)
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
        return _to_svg(figure, key="intervals")


def _cycle(count: int) -> list[str]:
    return [_CURVE_COLOURS[i % len(_CURVE_COLOURS)] for i in range(count)]


def _running_mean(values: Sequence[float], width: int) -> list[float]:
    """Mean of the last `width` values, of fewer at the start."""
    means = []
    for end in range(1, len(values) + 1):
        window = values[max(0, end - width) : end]
        means.append(sum(window) / len(window))
    return means


def _to_svg(figure: Figure, *, key: str) -> str:
    """The <svg> element alone, its ids made unique so that several can stand on one page."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    prefix = re.sub(r"[^a-z0-9]+", "-", key.lower())
    text = re.sub(r'\bid="', f'id="{prefix}-', text)
    text = re.sub(r"url\(#", f"url(#{prefix}-", text)
    return re.sub(r'xlink:href="#', f'xlink:href="#{prefix}-', text)
