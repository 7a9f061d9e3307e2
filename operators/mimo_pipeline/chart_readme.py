"""The table of values in the chart's README, made from the `# --` comments of values.yaml."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from typing import Any

import yaml

from operators.mimo_pipeline.chart_images import CHART

ValuePath = tuple[str, ...]

_START = "<!-- values: generated from values.yaml by `make generate` -->\n"
_KEY = re.compile(r"^( *)([A-Za-z][A-Za-z0-9]*):")
_COMMENT = re.compile(r"^ *# -- (.*)$")
_MAX_DEFAULT_LENGTH = 60


def readme(chart: Path = CHART) -> str:
    """The README with its table made anew; what stands before the marker is written by hand."""
    written = (chart / "README.md").read_text(encoding="utf-8").split(_START)[0]
    return written + _START + values_table((chart / "values.yaml").read_text(encoding="utf-8"))


def values_table(text: str) -> str:
    values = yaml.safe_load(text)
    rows = [
        f"| `{'.'.join(path)}` | {shown_default(values, path)} | {about} |" for path, about in described_values(text)
    ]
    return "\n".join(["| value | default | |", "|---|---|---|", *rows]) + "\n"


def described_values(text: str) -> Iterator[tuple[ValuePath, str]]:
    """Path and comment of every value with a `# --` line directly above it."""
    path: list[tuple[int, str]] = []
    about = ""
    for line in text.splitlines():
        if comment := _COMMENT.match(line):
            about = comment.group(1)
        elif key := _KEY.match(line):
            indent = len(key.group(1))
            path = [*((i, name) for i, name in path if i < indent), (indent, key.group(2))]
            if about:
                yield tuple(name for _, name in path), about
            about = ""


def shown_default(values: Any, path: ValuePath) -> str:
    """As JSON; long ones are left to the file."""
    text = json.dumps(reduce(lambda found, name: found[name], path, values))
    return f"`{text}`" if len(text) <= _MAX_DEFAULT_LENGTH else "see values.yaml"
