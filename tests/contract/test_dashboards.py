"""Dashboards can be imported anywhere and ask only for what exists."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from mimo_vl.observability.dashboards.catalogue import DASHBOARDS
from mimo_vl.observability.dashboards.grafana import dashboard_json, dashboard_text
from mimo_vl.observability.dashboards.panel import Dashboard
from mimo_vl.observability.metrics import RUN_LABELS, all_metrics

_BOARDS = pytest.mark.parametrize("board", DASHBOARDS, ids=lambda board: board.uid)
# Functions and operators that the dashboards use; all of them are older than Prometheus 2.42.
_FUNCTIONS = {
    "max", "min", "sum", "avg", "by", "on", "group_left", "rate", "histogram_quantile", "clamp_min", "scalar",
    "vector", "time", "label_replace",
}  # fmt: skip


def _expressions(board: Dashboard) -> list[str]:
    panels = dashboard_json(board)["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", [])]


@_BOARDS
def test_a_dashboard_asks_only_for_declared_metrics(board: Dashboard) -> None:
    declared = {sample for metric in all_metrics().values() for sample in metric.sample_names}
    labels = {*RUN_LABELS, "part", "phase", "state", "reason", "task", "status", "code", "kind", "le"}
    expressions = _expressions(board)
    assert expressions
    for expression in expressions:
        # Not what stands in quotes: values of labels and the variables.
        bare = re.sub(r'"[^"]*"', "", expression)
        asked = set(re.findall(r"\bmimo_\w+", bare)) - labels
        assert asked, expression
        assert asked <= declared, expression


@_BOARDS
def test_a_dashboard_uses_functions_that_prometheus_2_42_knows(board: Dashboard) -> None:
    used = {name for e in _expressions(board) for name in re.findall(r"(\w+)\s*\(", re.sub(r'"[^"]*"', "", e))}
    assert used
    assert used <= _FUNCTIONS


@_BOARDS
def test_a_dashboard_needs_no_input_and_keeps_its_place(board: Dashboard) -> None:
    made = dashboard_json(board)
    assert "__inputs" not in made
    assert made["uid"] == board.uid
    [source] = [v for v in made["templating"]["list"] if v["type"] == "datasource"]
    assert source["query"] == "prometheus"
    assert len(dashboard_text(board)) < 2**20
    assert dashboard_text(board) == dashboard_text(board)
    ids = [panel["id"] for panel in made["panels"]]
    assert len(ids) == len(set(ids))
    for panel in _with_targets(made):
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["description"], panel["title"]


@_BOARDS
def test_no_two_panels_lie_over_each_other(board: Dashboard) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard_json(board)["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


def test_the_dashboards_are_the_promised_ones_and_each_row_is_a_question() -> None:
    assert [board.uid for board in DASHBOARDS] == [
        "mimo-overview", "mimo-training", "mimo-morl", "mimo-rewards", "mimo-data", "mimo-evaluation", "mimo-operator",
    ]  # fmt: skip
    assert all(row.title.endswith("?") for board in DASHBOARDS for row in board.rows)


def test_json_is_pretty_printed_with_its_characters_kept() -> None:
    text = dashboard_text(DASHBOARDS[0])
    assert json.loads(text) == dashboard_json(DASHBOARDS[0])
    assert text.startswith('{\n  "uid": "mimo-overview"')


def _with_targets(made: dict[str, Any]) -> list[dict[str, Any]]:
    found = [panel for panel in made["panels"] if panel["type"] != "row"]
    assert found
    return found
