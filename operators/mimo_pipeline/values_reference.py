"""Which values has the chart? docs/values.md: value, type, default, meaning, from values.yaml and its schema."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from operators.mimo_pipeline.chart_images import CHART
from operators.mimo_pipeline.chart_readme import ValuePath, described_values, shown_default

_HEADER = """\
# Values of the chart

<!-- generated from charts/mimo-pipeline/values.yaml and values.schema.json by `make generate`; do not edit -->
`helm install --set NAME=VALUE`, or `--values FILE`. The schema refuses unknown names, wrong types and forms when
values are given; combinations that cannot work are refused by the templates, with the value shown. Ready-made files
for kinds of clusters stand beside `values.yaml`: [Kubernetes](kubernetes.md#values-that-matter).

A bounded number shows its bounds. *form* is the regular expression that a text has to match. A quantity is one of
Kubernetes (`500m`, `64Gi`), a name one of its object names.
"""
_TABLE = "| value | type | default | |\n|---|---|---|---|"
# Shapes that have a page, or are those of Kubernetes.
_SHAPES = {
    "podSettings": "[pod settings](mimopipeline.md#podsettings)",
    "resources": "requests and limits",
    "tolerations": "list of tolerations",
    "env": "list of environment variables",
    "quantity": "quantity",
    "name": "name",
    "labels": "map of labels",
}


def values_reference(chart: Path = CHART) -> str:
    """One section for each component; single values at the top stand in one of their own."""
    text = (chart / "values.yaml").read_text(encoding="utf-8")
    values, schema = yaml.safe_load(text), _schema(chart)
    sections: dict[str, list[str]] = {}
    for path, about in described_values(text):
        title = f"`{path[0]}`" if len(path) > 1 else "Top level"
        kind = _type(_node(schema, path), schema)
        row = f"| `{'.'.join(path)}` | {_cell(kind)} | {_cell(shown_default(values, path))} | {_cell(about)} |"
        sections.setdefault(title, []).append(row)
    tables = ["\n".join([f"## {title}\n", _TABLE, *rows]) + "\n" for title, rows in sections.items()]
    return "\n".join([_HEADER, *tables])


def undocumented_values(chart: Path = CHART) -> list[str]:
    """Names that values.yaml has, or that the schema accepts, without a description of their own or of their map."""
    text = (chart / "values.yaml").read_text(encoding="utf-8")
    described = {path for path, _ in described_values(text)}
    named = {*_leaves_of_values(yaml.safe_load(text)), *_leaves_of_schema(_schema(chart))}
    return sorted(".".join(path) for path in named if not any(path[:n] in described for n in range(1, len(path) + 1)))


def _schema(chart: Path) -> dict[str, Any]:
    return dict(json.loads((chart / "values.schema.json").read_text(encoding="utf-8")))


def _leaves_of_values(values: Mapping[str, Any], path: ValuePath = ()) -> Iterator[ValuePath]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _leaves_of_values(value, (*path, key))
        else:
            yield (*path, key)


def _leaves_of_schema(schema: Mapping[str, Any], path: ValuePath = ()) -> Iterator[ValuePath]:
    properties = _node(schema, path).get("properties")
    if properties is None:
        yield path
    for key in properties or ():
        yield from _leaves_of_schema(schema, (*path, key))


def _node(schema: Mapping[str, Any], path: ValuePath) -> Mapping[str, Any]:
    """Where the schema speaks about a value; a reference to a shape that has a name is kept."""
    node = schema
    for key in path:
        node = _resolved(node, schema)["properties"][key]
    return node if _shape(node) else _resolved(node, schema)


def _resolved(node: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in node:
        target: Any = schema
        for key in node["$ref"].removeprefix("#/").split("/"):
            target = target[key]
        node = target
    return node


def _shape(node: Mapping[str, Any]) -> str:
    return _SHAPES.get(node.get("$ref", "").rsplit("/", 1)[-1], "")


def _type(node: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    if shape := _shape(node):
        return shape
    node = _resolved(node, schema)
    if "enum" in node:
        return ", ".join(f"`{value}`" for value in node["enum"])
    if "oneOf" in node:
        return " or ".join(_type(choice, schema) for choice in node["oneOf"])
    kind = str(node.get("type", "any"))
    if kind == "array":
        return f"list of {_type(node.get('items', {}), schema)}"
    if kind == "object":
        return _map_type(node, schema)
    if kind == "string":
        return f"string, form `{node['pattern']}`" if "pattern" in node else kind
    return kind + _bounds(node)


def _map_type(node: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    if "properties" in node:
        return f"map with {', '.join(f'`{name}`' for name in node['properties'])}"
    inner = node.get("additionalProperties")
    return f"map to {_type(inner, schema)}" if isinstance(inner, Mapping) else "map"


def _bounds(node: Mapping[str, Any]) -> str:
    low, high = node.get("minimum"), node.get("maximum")
    if low is None:
        return ""
    return f", at least {low:g}" if high is None else f", {low:g} to {high:g}"


def _cell(text: str) -> str:
    return text.replace("|", r"\|")
