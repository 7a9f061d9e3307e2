"""What the stages measured: every point of every attempt's journal as series, made small enough for a page.

A point is replaced when a later attempt measured its step again: the earlier one, which led nowhere, is kept apart.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mimo_vl.tracking.journal import JournalEntry
from mimo_vl.tracking.tracker import Target

Floats = npt.NDArray[np.float64]

# Of a machine; more of them have one curve.
MAX_NODES = 16
# system/cpu_utilization_percentage/node-3, system/gpu_memory_used/node-3/gpu-0
_PLACE = re.compile(r"(system/[^/]+)/(node-\d+)(?:/gpu-\d+)?")
# More points than pixels would only make the page larger.
MAX_POINTS = 240


@dataclass(frozen=True, kw_only=True)
class Series:
    """Finite values by rising step. `num_left_out`: values that are NaN or infinite.

    `low`, `high`: range of what was averaged; None for values that were measured.
    """

    steps: Floats
    values: Floats
    num_left_out: int = 0
    low: Floats | None = None
    high: Floats | None = None


@dataclass(frozen=True, kw_only=True)
class StageCurves:
    """Metric name -> series. `replaced`: what attempts measured that did not last."""

    stage: str
    series: Mapping[str, Series]
    replaced: Mapping[str, Series] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Band:
    """At most MAX_POINTS steps: the mean of the values around each, the smallest and the largest of them."""

    steps: Floats
    mean: Floats
    low: Floats
    high: Floats


class AttemptMetrics:
    """What one attempt's journal holds, filled entry by entry: only numbers are kept in memory."""

    def __init__(self) -> None:
        self.steps: dict[str, array[float]] = {}
        self.values: dict[str, array[float]] = {}
        self.first_step: float = np.inf
        self.last_time_ms = 0

    def add(self, entry: JournalEntry) -> None:
        self.last_time_ms = max(self.last_time_ms, entry.time_ms)
        if entry.kind != "metrics" or entry.target != Target.ATTEMPT:
            return
        for name, text in entry.values.items():
            self.steps.setdefault(name, array("d")).append(entry.step)
            self.values.setdefault(name, array("d")).append(float(text))
            if not _is_of_the_machine(name):
                self.first_step = min(self.first_step, entry.step)


def stage_curves(stage: str, attempts: Sequence[AttemptMetrics]) -> StageCurves | None:
    """None without any series of two points."""
    names = sorted({name for attempt in attempts for name in attempt.steps})
    series, replaced = {}, {}
    for name in names:
        kept, dropped = _joined(name, attempts)
        if len(kept.steps) > 1:
            series[name] = kept
        if len(dropped.steps) > 1:
            replaced[name] = dropped
    return StageCurves(stage=stage, series=by_node(series), replaced=replaced) if series else None


def by_node(series: Mapping[str, Series]) -> dict[str, Series]:
    """Of the GPUs of a node, and of more nodes than a chart can show, the mean and the range."""
    places = {name: match for name in series if (match := _PLACE.fullmatch(name))}
    nodes = {match[2] for match in places.values()}
    together: dict[str, list[Series]] = {}
    for name, found in series.items():
        place = places.get(name)
        node = "" if place is None else place[2] if len(nodes) <= MAX_NODES else f"all {len(nodes)} nodes"
        together.setdefault(name if place is None else f"{place[1]}/{node}", []).append(found)
    return {name: _averaged(found) for name, found in together.items()}


def _averaged(series: Sequence[Series]) -> Series:
    """Where not all have a value at a step, those that have."""
    if len(series) == 1:
        return series[0]
    steps, values = (np.concatenate([getattr(s, part) for s in series]) for part in ("steps", "values"))
    order = np.argsort(steps, kind="stable")
    values = values[order]
    unique, starts, counts = np.unique(steps[order], return_index=True, return_counts=True)
    return Series(
        steps=unique,
        values=np.add.reduceat(values, starts) / counts,
        num_left_out=sum(s.num_left_out for s in series),
        low=np.minimum.reduceat(values, starts),
        high=np.maximum.reduceat(values, starts),
    )


def downsample(series: Series, max_points: int = MAX_POINTS) -> Band:
    """Neighbours are averaged; their extremes stay visible."""
    count = len(series.steps)
    low, high = (series.values if bound is None else bound for bound in (series.low, series.high))
    if count <= max_points:
        return Band(steps=series.steps, mean=series.values, low=low, high=high)
    starts = np.arange(max_points) * count // max_points
    sizes = np.diff(np.append(starts, count))
    return Band(
        steps=np.add.reduceat(series.steps, starts) / sizes,
        mean=np.add.reduceat(series.values, starts) / sizes,
        low=np.minimum.reduceat(low, starts),
        high=np.maximum.reduceat(high, starts),
    )


def _joined(name: str, attempts: Sequence[AttemptMetrics]) -> tuple[Series, Series]:
    """What lasted, and what a later attempt measured again. Metrics of the machine have no steps of training."""
    kept: list[tuple[Floats, Floats]] = []
    dropped: list[tuple[Floats, Floats]] = []
    for number, attempt in enumerate(attempts):
        if name not in attempt.steps:
            continue
        steps, values = np.array(attempt.steps[name]), np.array(attempt.values[name])
        resumed_at = min((later.first_step for later in attempts[number + 1 :]), default=np.inf)
        lasts = steps < resumed_at if not _is_of_the_machine(name) else np.ones(len(steps), bool)
        kept.append((steps[lasts], values[lasts]))
        dropped.append((steps[~lasts], values[~lasts]))
    return _series(kept), _series(dropped)


def _series(parts: Sequence[tuple[Floats, Floats]]) -> Series:
    steps = np.concatenate([s for s, _ in parts]) if parts else np.empty(0)
    values = np.concatenate([v for _, v in parts]) if parts else np.empty(0)
    order = np.argsort(steps, kind="stable")
    steps, values = steps[order], values[order]
    finite = np.isfinite(values)
    return Series(steps=steps[finite], values=values[finite], num_left_out=int((~finite).sum()))


def _is_of_the_machine(name: str) -> bool:
    return name.startswith("system/")
