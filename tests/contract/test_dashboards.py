"""Dashboards can be imported anywhere and ask only for what exists."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from mimo_vl.observability.dashboards.catalogue import DASHBOARDS
from mimo_vl.observability.dashboards.grafana import dashboard_json, dashboard_text
from mimo_vl.observability.dashboards.panel import Dashboard
from mimo_vl.observability.metrics import RUN_LABELS, all_metrics

_PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(
    _PROMTOOL is None, reason="promtool is missing; apt-get install --no-install-recommends prometheus brings it"
)
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


@pytest.mark.parametrize("board", [b for b in DASHBOARDS if b.has_pipelines], ids=lambda board: board.uid)
def test_a_panel_tells_pipelines_of_one_name_by_their_namespace(board: Dashboard) -> None:
    targets = [t for panel in _with_targets(dashboard_json(board)) for t in panel["targets"]]
    num_groupings = 0
    for target in targets:
        if target["legendFormat"] == "{{phase}}":
            # Pipelines are counted, not told apart.
            continue
        assert target["legendFormat"].startswith("{{mimo_namespace}}/{{mimo_pipeline}}"), target
        for grouping in re.findall(r"\b(?:by|on) \(([^)]*)\)", target["expr"]):
            num_groupings += 1
            assert {"mimo_namespace", "mimo_pipeline"} <= set(grouping.split(", ")), target["expr"]
    assert num_groupings >= len(targets) - 1


@needs_promtool
def test_two_teams_whose_pipelines_have_one_name_see_each_its_own(tmp_path: Path) -> None:
    """4 GPUs for half an hour at 2.50 an hour, 8 for an hour."""
    teams = {"ml": ("Running", 4 * 1800), "vision": ("Failed", 8 * 3600)}
    of = {team: f'mimo_namespace="{team}",mimo_pipeline="demo"' for team in teams}
    series = {"mimo_pipeline_gpu_hour_price": 2.5}
    for team, (state, gpu_s) in teams.items():
        series[f'mimo_pipeline_gpu_time_seconds{{{of[team]},stage="morl"}}'] = gpu_s
        series[f'mimo_pipeline_stage_state{{{of[team]},stage="morl",state="{state}",reason=""}}'] = 1
        series[f'mimo_pipeline_phase{{{of[team]},phase="Running"}}'] = 1
    wanted = {
        "GPU-hours": {f"{{{of['ml']}}}": 2, f"{{{of['vision']}}}": 8},
        "Cost": {f"{{{of['ml']}}}": 5, f"{{{of['vision']}}}": 20},
        "State of each stage": {f'{{{of[t]},stage="morl",state="{state}"}}': 1 for t, (state, _) in teams.items()},
        "Pipelines by phase": {'{phase="Running"}': 2},
    }
    panels = {panel["title"]: panel for panel in _with_targets(dashboard_json(DASHBOARDS[0]))}
    asked = [
        {
            "expr": panels[title]["targets"][0]["expr"].replace("$namespace", ".*").replace("$pipeline", ".*"),
            "eval_time": "1m",
            "exp_samples": [{"labels": labels, "value": value} for labels, value in samples.items()],
        }
        for title, samples in wanted.items()
    ]
    inputs = [{"series": name, "values": f"{value}x5"} for name, value in series.items()]
    test = {"interval": "1m", "input_series": inputs, "promql_expr_test": asked}
    path = tmp_path / "test.yaml"
    path.write_text(yaml.safe_dump({"rule_files": [], "tests": [test]}), encoding="utf-8")
    assert _PROMTOOL is not None
    done = subprocess.run([_PROMTOOL, "test", "rules", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


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
