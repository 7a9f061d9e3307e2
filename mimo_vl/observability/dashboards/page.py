"""Dashboards without Grafana: the same JSON, asked of a Prometheus and drawn as one page that needs nothing else."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from mimo_vl.errors import InputError
from mimo_vl.observability.dashboards.chart import Named, Step, bars, legend_of, lines, stats, table
from mimo_vl.observability.dashboards.prometheus_api import QuerySource, TimeRange

# Points of a line: about two for each pixel of a small chart.
_NUM_POINTS = 240
_MIN_STEP_S = 1.0


@dataclass(frozen=True, kw_only=True)
class PageRequest:
    """`variables` replace $namespace and $pipeline; regular expressions. `refresh_s` 0 = the page stays as it is."""

    source: QuerySource
    over: TimeRange
    variables: Mapping[str, str]
    refresh_s: int = 0


def last_minutes(minutes: float, now_s: float) -> TimeRange:
    step_s = max(_MIN_STEP_S, minutes * 60 / _NUM_POINTS)
    return TimeRange(start_s=now_s - minutes * 60, end_s=now_s, step_s=step_s)


def render_page(dashboards: Sequence[Mapping[str, Any]], request: PageRequest) -> str:
    """`dashboards`: Grafana's JSON (grafana.py)."""
    links = "".join(f'<a href="#{escape(board["uid"])}">{escape(_short(board["title"]))}</a>' for board in dashboards)
    boards = "".join(_board(board, request) for board in dashboards)
    span = f"{_clock(request.over.start_s)} to {_clock(request.over.end_s)} UTC"
    refresh = f'<meta http-equiv="refresh" content="{request.refresh_s}">' if request.refresh_s else ""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">{refresh}'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>MiMo-VL dashboards</title>'
        f"<style>{_STYLE}</style></head><body><header><h1>MiMo-VL</h1><nav>{links}</nav>"
        f"<p>{span}</p></header>{boards}</body></html>\n"
    )


def _board(board: Mapping[str, Any], request: PageRequest) -> str:
    """Rows are headings; their panels stand in a grid, as wide as in Grafana."""
    parts, is_open = [], False
    for panel in board["panels"]:
        if panel["type"] == "row":
            parts.append(f'{"</div>" if is_open else ""}<h3>{escape(panel["title"])}</h3><div class="row">')
            is_open = True
        else:
            parts.append(_panel(panel, request))
    head = f"<h2>{escape(board['title'])}</h2><p>{escape(board['description'])}</p>"
    return f'<section id="{escape(board["uid"])}">{head}{"".join(parts)}{"</div>" if is_open else ""}</section>'


def _panel(panel: Mapping[str, Any], request: PageRequest) -> str:
    try:
        found = panel_series(panel, request)
        body = _draw(panel, found, request.over) if found else "<p class='empty'>no data</p>"
    except InputError as error:
        found, body = [], f"<p class='empty'>{escape(str(error))}</p>"
    return (
        f'<article class="panel {escape(panel["type"])}" style="grid-column:span {panel["gridPos"]["w"]}" '
        f'data-title="{escape(panel["title"])}" data-num-series="{len(found)}">'
        f'<h4 title="{escape(panel["description"])}">{escape(panel["title"])}</h4>{body}</article>'
    )


def panel_series(panel: Mapping[str, Any], request: PageRequest) -> list[Named]:
    """What all queries of a panel give.

    Raises:
        InputError: Prometheus refuses one of them.
    """
    found = []
    for target in panel["targets"]:
        expr = target["expr"]
        for name, value in request.variables.items():
            expr = expr.replace(f"${name}", value)
        source, over = request.source, request.over
        series = source.range(expr, over) if target["range"] else source.instant(expr, over.end_s)
        found += [Named(name=legend_of(target["legendFormat"], s.labels), series=s) for s in series]
    return found


def _draw(panel: Mapping[str, Any], found: Sequence[Named], over: TimeRange) -> str:
    defaults = panel["fieldConfig"]["defaults"]
    unit, steps = defaults["unit"], [Step(**step) for step in defaults["thresholds"]["steps"]]
    if panel["type"] == "timeseries":
        return lines(found, over, unit, steps)
    if panel["type"] == "table":
        return table(found, unit)
    return bars(found, unit, steps) if panel["type"] == "bargauge" else stats(found, unit, steps)


def _short(title: str) -> str:
    return title.rpartition(": ")[2]


def _clock(at_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at_s))


_STYLE = """
:root { color-scheme: light dark; --ground: #fff; --ink: #1b1f24; --dim: #667; --line: #ddd; --panel: #f7f8fa; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #14171b; --ink: #e6e8eb; --dim: #9aa3ad; --line: #333a42; --panel: #1c2127; }
}
* { box-sizing: border-box; }
body { margin: 0; padding: 0 1rem 3rem; background: var(--ground); color: var(--ink);
  font: 15px/1.45 system-ui, sans-serif; }
header { display: flex; flex-wrap: wrap; gap: .4rem 1.2rem; align-items: baseline; position: sticky; top: 0;
  background: var(--ground); border-bottom: 1px solid var(--line); padding: .6rem 0; z-index: 1; }
header h1 { font-size: 1.1rem; margin: 0; } header p { margin: 0 0 0 auto; color: var(--dim); }
nav { display: flex; flex-wrap: wrap; gap: .3rem 1rem; } a { color: inherit; }
section { scroll-margin-top: 4rem; } h2 { margin: 2rem 0 0; } section > p { color: var(--dim); margin: .2rem 0 0; }
h3 { margin: 1.4rem 0 .5rem; font-weight: 600; }
.row { display: grid; grid-template-columns: repeat(24, 1fr); gap: .8rem; }
.panel { background: var(--panel); border: 1px solid var(--line); border-radius: 8px; padding: .6rem .8rem;
  min-width: 0; overflow: hidden; }
@media (max-width: 900px) { .panel { grid-column: 1 / -1 !important; } }
h4 { margin: 0 0 .4rem; font-size: .95rem; } .empty { color: var(--dim); padding: 2rem 0; text-align: center; }
svg { width: 100%; height: auto; display: block; } svg text { fill: var(--dim); font-size: 11px; }
.grid { stroke: var(--line); } .threshold { stroke-dasharray: 5 4; }
.series { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
.legend { list-style: none; margin: .4rem 0 0; padding: 0; display: grid; gap: 0 1rem; max-height: 11rem;
  grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); overflow: auto; font-size: .85rem; }
.legend li { display: flex; gap: .4rem; align-items: baseline; min-width: 0; }
.legend i { flex: none; width: .7rem; height: .7rem; border-radius: 2px; } .legend b { margin-left: auto; }
.legend span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
table { border-collapse: collapse; width: 100%; font-size: .87rem; } td, th { padding: .15rem .4rem; text-align: left; }
.bars th { font-weight: 400; width: 40%; } .bar { height: .8rem; border-radius: 3px; min-width: 1px; }
.rows th { border-bottom: 1px solid var(--line); } .value { text-align: right; white-space: nowrap; }
.bargauge, .table { max-height: 26rem; overflow: auto; }
.stat { display: inline-flex; flex-direction: column; margin: .3rem 1.4rem .3rem 0; } .stat b { font-size: 1.7rem; }
.stat span { color: var(--dim); font-size: .85rem; }
"""
