"""docs/values.md names every value that the chart has or accepts; a value without a description is found."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from operators.mimo_pipeline.chart_images import CHART
from operators.mimo_pipeline.generate import ROOT
from operators.mimo_pipeline.values_reference import undocumented_values, values_reference

_VALUES = """\
# -- How many.
replicas: 1
image:
  # -- Path of the image.
  repository: a
# -- Of a container.
resources:
  limits: {memory: 1Gi}
"""
_SCHEMA = {
    "properties": {
        "replicas": {"type": "integer", "minimum": 1, "maximum": 5},
        "image": {"type": "object", "properties": {"repository": {"$ref": "#/definitions/path"}}},
        "resources": {"$ref": "#/definitions/resources"},
    },
    "definitions": {
        "path": {"type": "string", "pattern": "^(a|b)$"},
        "resources": {"type": "object", "properties": {"limits": {"type": "object"}}},
    },
}


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    (tmp_path / "values.yaml").write_text(_VALUES, encoding="utf-8")
    (tmp_path / "values.schema.json").write_text(json.dumps(_SCHEMA), encoding="utf-8")
    return tmp_path


def test_no_value_of_the_chart_is_undocumented() -> None:
    assert undocumented_values() == []


def test_the_page_has_a_row_for_every_component() -> None:
    page = (ROOT / "docs/values.md").read_text(encoding="utf-8")
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    rows = re.findall(r"^\| `([\w.]+)` \|", page, re.M)
    assert len(rows) > 100
    assert {row.split(".")[0] for row in rows} == set(values)


def test_a_row_says_type_bounds_default_and_meaning(chart: Path) -> None:
    page = values_reference(chart)
    assert "| `replicas` | integer, 1 to 5 | `1` | How many. |" in page
    assert r'| `image.repository` | string, form `^(a\|b)$` | `"a"` | Path of the image. |' in page
    assert '| `resources` | requests and limits | `{"limits": {"memory": "1Gi"}}` | Of a container. |' in page
    assert undocumented_values(chart) == []


def test_a_value_without_a_comment_is_undocumented(chart: Path) -> None:
    text = _VALUES.replace("  # -- Path of the image.\n", "")
    (chart / "values.yaml").write_text(text, encoding="utf-8")
    assert undocumented_values(chart) == ["image.repository"]


def test_a_value_that_only_the_schema_knows_is_undocumented(tmp_path: Path) -> None:
    for name in ("values.yaml", "values.schema.json"):
        shutil.copy(CHART / name, tmp_path)
    schema = json.loads((tmp_path / "values.schema.json").read_text(encoding="utf-8"))
    schema["properties"]["minio"]["properties"]["forgotten"] = {"type": "string"}
    (tmp_path / "values.schema.json").write_text(json.dumps(schema), encoding="utf-8")
    assert undocumented_values(tmp_path) == ["minio.forgotten"]


def test_values_that_pages_set_exist() -> None:
    rows = set(re.findall(r"^\| `([\w.]+)` \|", (ROOT / "docs/values.md").read_text(encoding="utf-8"), re.M))
    pages = [ROOT / "README.md", CHART / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    named = {name for page in pages for name in re.findall(r"--set '?([a-z][\w.]+)", page.read_text(encoding="utf-8"))}
    assert len(named) > 8
    assert named - rows == set()
