"""Which metrics make one chart, in the order in which a reader asks for them.

Every series finds a chart: what no group names is shown under its own name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from mimo_vl.observability.metrics import is_of_the_machine
from mimo_vl.reporting.curves import Series, StageCurves


@dataclass(frozen=True, kw_only=True)
class ChartGroup:
    """`pattern`: its first group, if it has one, is the name of the curve."""

    title: str
    unit: str
    pattern: str
    whole: str = ""
    """Name of the curve that is about all of the others together."""
    is_main: bool = True


@dataclass(frozen=True, kw_only=True)
class Chart:
    group: ChartGroup
    curves: Sequence[tuple[str, Series]]
    replaced: Sequence[tuple[str, Series]] = field(default=())


_GROUPS = (
    ChartGroup(
        title="Loss",
        unit="nats",
        pattern=r"(?:train/)?loss(?:(?:_by_type/|_)(.+))?",
        whole="all data",
    ),
    ChartGroup(title="Held-out loss", unit="nats", pattern=r"train/heldout_loss(?:/(.+))?", whole="held-out loss"),
    ChartGroup(
        title="Reward",
        unit="mean reward, 0 to 1",
        pattern=r"rl/reward(?:_by_family/(.+))?",
        whole="mean of the families",
    ),
    ChartGroup(title="Response length", unit="tokens", pattern=r"rl/completion_tokens(?:/(.+))?", whole="all families"),
    ChartGroup(
        title="Groups that teach", unit="share of groups", pattern=r"rl/valid_groups(?:/(.+))?", whole="all families"
    ),
    ChartGroup(
        title="Throughput",
        unit="per second",
        pattern=r"(?:train/)?(tokens|patches)_per_s",
    ),
    ChartGroup(title="Gradient norm", unit="1", pattern=r"(?:train/)?grad_norm", whole="gradient norm", is_main=False),
    ChartGroup(
        title="Learning rate", unit="1", pattern=r"(?:lr_|train/learning_rate/?)(.*)", whole="largest", is_main=False
    ),
    ChartGroup(title="Trainer minus engine", unit="nats", pattern=r"rl/(logprob_gap.*)", is_main=False),
    ChartGroup(
        title="Time",
        unit="seconds",
        pattern=r"(?:rl|train)/(.+_time)",
        is_main=False,
    ),
    ChartGroup(
        title="Wait for data",
        unit="share of the step",
        pattern=r"(?:train/)?data_wait_fraction",
        whole="share",
        is_main=False,
    ),
    ChartGroup(
        title="Memory",
        unit="bytes",
        pattern=r"system/((?:process_pss|system_memory_used)(?:/.+)?)",
        is_main=False,
    ),
    ChartGroup(
        title="Use of the GPUs",
        unit="percent: mean of a node, and range of its GPUs",
        pattern=r"system/gpu_utilization_percentage/(.+)",
        is_main=False,
    ),
    ChartGroup(
        title="Memory of the GPUs",
        unit="bytes: mean of a node, and range of its GPUs",
        pattern=r"system/gpu_memory_used/(.+)",
        is_main=False,
    ),
    ChartGroup(
        title="Machine",
        unit="percent",
        pattern=r"system/(.+_percentage(?:/.+)?)",
        is_main=False,
    ),
)


def charts(curves: StageCurves, *, with_machine: bool = True) -> list[Chart]:
    """In the order of the groups, then every other metric by its name. `with_machine`: its speed and load, too."""
    left = {n: s for n, s in curves.series.items() if with_machine or not is_of_the_machine(n)}
    found = []
    for group in _GROUPS:
        matches = {n: m for n in left if (m := re.fullmatch(group.pattern, n))}
        members = [(n, _curve_name(group, matches[n])) for n in _whole_first(matches)]
        for name in matches:
            del left[name]
        if members:
            found.append(_chart(group, members, curves))
    return found + [
        _chart(ChartGroup(title=name, unit="", pattern="", is_main=False), [(name, name)], curves)
        for name in sorted(left)
    ]


def _chart(group: ChartGroup, members: Sequence[tuple[str, str]], curves: StageCurves) -> Chart:
    return Chart(
        group=group,
        curves=[(shown, curves.series[name]) for name, shown in members],
        replaced=[(shown, curves.replaced[name]) for name, shown in members if name in curves.replaced],
    )


def _whole_first(matches: dict[str, re.Match[str]]) -> list[str]:
    return sorted(matches, key=lambda name: (bool(_part(matches[name])), name))


def _curve_name(group: ChartGroup, match: re.Match[str]) -> str:
    return _part(match).replace("_", " ") or group.whole or match[0]


def _part(match: re.Match[str]) -> str:
    return (match[1] or "") if match.re.groups else ""
