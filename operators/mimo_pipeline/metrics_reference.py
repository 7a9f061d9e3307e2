"""The page docs/metrics.md: every metric with its labels, as metrics.py declares it."""

from __future__ import annotations

from itertools import groupby

from mimo_vl.observability.metrics import PART_LABEL, RUN_LABELS, STAGE_AREAS, Metric, all_metrics

_HEAD = """# Metrics

Made from `mimo_vl/observability/metrics.py` by `make generate`. How to scrape and look at them:
[monitoring.md](monitoring.md).

*Logged as* is the name in the tracking server and in manifests; a type, family or reason follows as `/<part>` there and
is the label `part` here. Counters end in `_total`, histograms in `_bucket`, `_sum` and `_count`.
"""
_WHO = {
    "operator": "The controller itself: the operator, or `mimo run`",
    "pipeline": "Pipelines, shown by the controller",
    "rewards": "The reward service, shown by the process of the `morl` stage",
}
_STAGE = "Processes of stages; after their end the controller, from the manifest, unless they are about the process"


def metrics_reference() -> str:
    by_area = groupby(all_metrics().values(), key=lambda metric: metric.area)
    return _HEAD + "".join(_section(area, list(found)) for area, found in by_area)


def _section(area: str, found: list[Metric]) -> str:
    rows = "".join(_row(metric) for metric in found)
    table = "| metric | kind, unit | labels | meaning | logged as |\n|---|---|---|---|---|\n"
    return f"\n## {area}\n{_WHO.get(area, _STAGE)}.\n\n{table}{rows}"


def _row(metric: Metric) -> str:
    name = metric.sample_names[0].removesuffix("_bucket")
    labels = ", ".join(f"`{label}`" for label in _labels(metric)) or "none"
    return f"| `{name}` | {metric.kind}, {metric.unit} | {labels} | {metric.help} | `{metric.name}` |\n"


def _labels(metric: Metric) -> tuple[str, ...]:
    if metric.area in STAGE_AREAS:
        return (*RUN_LABELS, PART_LABEL)
    return (*RUN_LABELS, *metric.labels) if metric.area == "rewards" else metric.labels
