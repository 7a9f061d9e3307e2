"""Which images does the chart need, those included that the operator puts into pods and those of the prerequisites?

For mirrors of air-gapped clusters: charts/mimo-pipeline/images.txt, generated from Chart.yaml and values.yaml.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parents[2] / "charts" / "mimo-pipeline"

_HEADER = """\
# Every image of the chart's defaults. Mirror them, then set global.imageRegistry.
"""
_PREREQUISITES = """\
# Not of this chart: the operators that it needs, and the init container that the training-operator adds to workers
# (flag --pytorch-init-container-image).
ghcr.io/kubeflow/training-v1/training-operator:v1-93c5489
quay.io/kuberay/operator:v1.6.2
alpine:3.10
"""


def images_txt(chart: Path = CHART) -> str:
    return _HEADER + "".join(f"{image}\n" for image in chart_images(chart)) + _PREREQUISITES


def chart_images(chart: Path = CHART) -> list[str]:
    """References by the chart's defaults, sorted."""
    values = yaml.safe_load((chart / "values.yaml").read_text(encoding="utf-8"))
    version = chart_version(chart)
    return sorted({_reference(image, version) for image in _images(values)})


def chart_version(chart: Path = CHART) -> str:
    """Tag of the images of this version."""
    return str(yaml.safe_load((chart / "Chart.yaml").read_text(encoding="utf-8"))["appVersion"])


def _images(values: Mapping[str, Any]) -> Iterator[Mapping[str, str]]:
    for value in values.values():
        if isinstance(value, dict):
            if "repository" in value:
                yield value
            else:
                yield from _images(value)


def _reference(image: Mapping[str, str], version: str) -> str:
    name = "/".join(part for part in (image["registry"], image["repository"]) if part)
    return f"{name}@{image['digest']}" if image["digest"] else f"{name}:{image['tag'] or version}"
