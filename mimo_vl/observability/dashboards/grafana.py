"""A dashboard as Grafana's JSON: no inputs to fill in, the data source is a variable, ids depend on the order alone."""

from __future__ import annotations

import json
from typing import Any

from mimo_vl.observability.dashboards.panel import Dashboard, Panel, PanelKind, Row
from mimo_vl.observability.metrics import NAMESPACE_LABEL, PIPELINE_LABEL, PIPELINE_PHASE

_SCHEMA_VERSION = 38
_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
_COLUMNS, _HEIGHT = 24, 8


def dashboard_json(dashboard: Dashboard) -> dict[str, Any]:
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": ["mimo"],
        "schemaVersion": _SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": _variables(dashboard)},
        "annotations": {"list": []},
        "panels": _panels(dashboard.rows),
    }


def dashboard_text(dashboard: Dashboard) -> str:
    return json.dumps(dashboard_json(dashboard), indent=2, ensure_ascii=False) + "\n"


def _variables(dashboard: Dashboard) -> list[dict[str, Any]]:
    source = {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "refresh": 1}
    if not dashboard.has_pipelines:
        return [source]
    metric = PIPELINE_PHASE.prometheus_name
    chosen = f'{metric}{{{NAMESPACE_LABEL}=~"$namespace"}}'
    return [
        source,
        _choice("namespace", "Namespace", f"label_values({metric}, {NAMESPACE_LABEL})"),
        _choice("pipeline", "Pipeline", f"label_values({chosen}, {PIPELINE_LABEL})"),
    ]


def _choice(name: str, label: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": _DATASOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def _panels(rows: tuple[Row, ...]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    top = 0
    for row in rows:
        place = {"x": 0, "y": top, "w": _COLUMNS, "h": 1}
        found.append({"id": len(found) + 1, "type": "row", "title": row.title, "collapsed": False, "gridPos": place})
        top, left = top + 1, 0
        for panel in row.panels:
            if left + panel.width > _COLUMNS:
                top, left = top + _HEIGHT, 0
            found.append(_panel(panel, len(found) + 1, left, top))
            left += panel.width
        top += _HEIGHT
    return found


def _panel(panel: Panel, number: int, left: int, top: int) -> dict[str, Any]:
    return {
        "id": number,
        "type": str(panel.kind),
        "title": panel.title,
        "description": panel.description,
        "gridPos": {"x": left, "y": top, "w": panel.width, "h": _HEIGHT},
        "datasource": _DATASOURCE,
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _options(panel.kind),
        "targets": [_target(panel, index) for index in range(len(panel.queries))],
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    steps = [{"color": "green", "value": None}, *({"color": t.color, "value": t.value} for t in panel.thresholds)]
    values: dict[str, Any] = {"unit": str(panel.unit), "thresholds": {"mode": "absolute", "steps": steps}}
    if panel.kind is PanelKind.TIMESERIES:
        style = {"mode": "line" if panel.thresholds else "off"}
        values["custom"] = {"fillOpacity": 5, "showPoints": "auto", "thresholdsStyle": style}
    return values


def _options(kind: PanelKind) -> dict[str, Any]:
    if kind is PanelKind.TIMESERIES:
        return {"legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull"]}}
    if kind is PanelKind.TABLE:
        return {"showHeader": True}
    orientation = {"orientation": "horizontal", "displayMode": "basic"} if kind is PanelKind.BARGAUGE else {}
    return {"reduceOptions": {"calcs": ["lastNotNull"], "values": False}, **orientation}


def _target(panel: Panel, index: int) -> dict[str, Any]:
    query = panel.queries[index]
    is_range = panel.kind is PanelKind.TIMESERIES
    target = {
        "refId": chr(ord("A") + index),
        "datasource": _DATASOURCE,
        "expr": query.expr,
        "legendFormat": query.legend,
        "range": is_range,
        "instant": not is_range,
    }
    return {**target, "format": "table"} if panel.kind is PanelKind.TABLE else target
