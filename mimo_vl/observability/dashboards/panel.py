"""What a dashboard consists of: rows, each with a question as its title, and panels with their queries. Values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from mimo_vl.observability.metrics import NAMESPACE_LABEL, PIPELINE_LABEL, Metric

# What the variables of a dashboard choose; the operator's own metrics are not about one pipeline.
CHOSEN = f'{{{NAMESPACE_LABEL}=~"$namespace",{PIPELINE_LABEL}=~"$pipeline"}}'
# Of rates: some scrapes at any usual interval.
WINDOW = "5m"


class PanelKind(StrEnum):
    """Grafana's words. Time series show a range, the others the newest values."""

    TIMESERIES = "timeseries"
    STAT = "stat"
    BARGAUGE = "bargauge"
    TABLE = "table"


class Unit(StrEnum):
    """Grafana's words."""

    NONE = "short"
    RATIO = "percentunit"
    PERCENT = "percent"
    SECONDS = "s"
    HOURS = "h"
    BYTES = "bytes"
    PER_SECOND = "ops"


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """From `value` on the panel has this colour; below the first one it is green."""

    value: float
    color: str


@dataclass(frozen=True, kw_only=True)
class Query:
    """`legend` may name labels as {{label}}."""

    expr: str
    legend: str


@dataclass(frozen=True, kw_only=True)
class Panel:
    title: str
    queries: tuple[Query, ...]
    description: str
    unit: Unit = Unit.NONE
    kind: PanelKind = PanelKind.TIMESERIES
    thresholds: tuple[Threshold, ...] = ()
    width: int = 8
    """Of 24."""


@dataclass(frozen=True, kw_only=True)
class Row:
    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, kw_only=True)
class Dashboard:
    uid: str
    """Fixed, so that links and updates keep working; also the name of the file."""
    title: str
    description: str
    rows: tuple[Row, ...]
    has_pipelines: bool = True
    """It has the variables namespace and pipeline."""
    panels: tuple[Panel, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "panels", tuple(panel for row in self.rows for panel in row.panels))


def labels(*more: str) -> str:
    """What a query groups by: never without the namespace, for two teams may give their pipelines one name."""
    return ", ".join((NAMESPACE_LABEL, PIPELINE_LABEL, *more))


def legend(rest: str = "") -> str:
    """Whose the series is, then what else tells it from the others."""
    return f"{{{{{NAMESPACE_LABEL}}}}}/{{{{{PIPELINE_LABEL}}}}} {rest}".strip()


def newest(metric: Metric, *more: str, matching: str = "") -> str:
    """For each pipeline and value of these labels, whether the process shows it or, after its end, the controller."""
    chosen = CHOSEN if not matching else f"{CHOSEN[:-1]},{matching}}}"
    return f"max by ({labels(*more)}) ({metric.prometheus_name}{chosen})"


def one(expr: str, legend: str) -> tuple[Query, ...]:
    return (Query(expr=expr, legend=legend),)


def warn_at(value: float, critical: float | None = None) -> tuple[Threshold, ...]:
    found = (Threshold(value=value, color="orange"),)
    return found if critical is None else (*found, Threshold(value=critical, color="red"))


def good_from(value: float) -> tuple[Threshold, ...]:
    """Orange below it."""
    return (Threshold(value=-1e9, color="orange"), Threshold(value=value, color="green"))
