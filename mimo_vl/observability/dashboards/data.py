"""Data stages: what was kept, and why was the rest dropped?"""

from __future__ import annotations

from mimo_vl.observability import metrics as names
from mimo_vl.observability.dashboards.panel import (
    CHOSEN,
    Dashboard,
    Panel,
    PanelKind,
    Row,
    Unit,
    labels,
    legend,
    newest,
    one,
    warn_at,
)
from mimo_vl.vocabulary import StageName

_KEPT, _DROPPED = names.SAMPLES_KEPT.prometheus_name, names.SAMPLES_DROPPED.prometheus_name
_STAGES = f'stage=~"{StageName.CURATE}|{StageName.CURATE_RL}"'


def _sum(metric: str, *more: str) -> str:
    """Over datasets or reasons; once, though process and controller may both show it."""
    return f"sum by ({labels(*more)}) (max by ({labels('stage', 'attempt', 'part')}) ({metric}{CHOSEN}))"


_WHOLE = Row(
    title="How much is there?",
    panels=(
        Panel(
            title="Samples kept",
            queries=one(_sum(_KEPT, "stage"), legend("{{stage}}")),
            description="Passed every filter.",
            kind=PanelKind.STAT,
            width=6,
        ),
        Panel(
            title="Share dropped",
            queries=one(
                f"{_sum(_DROPPED, 'stage')} / ({_sum(_DROPPED, 'stage')} + {_sum(_KEPT, 'stage')})",
                legend("{{stage}}"),
            ),
            description="Of the samples that were looked at.",
            unit=Unit.RATIO,
            kind=PanelKind.STAT,
            thresholds=warn_at(0.5, 0.9),
            width=6,
        ),
        Panel(
            title="Shards and prompts done",
            queries=one(newest(names.STEP, "stage", "attempt", matching=_STAGES), legend("{{stage}}")),
            description="How far running data stages are.",
            width=12,
        ),
    ),
)
_PARTS = Row(
    title="What was kept, why was the rest dropped?",
    panels=(
        Panel(
            title="Dropped by reason",
            queries=one(_sum(_DROPPED, "stage", "part"), legend("{{stage}}: {{part}}")),
            description="Reasons are those of the filters; never_solved and always_solved are pass rates 0 and 1.",
            kind=PanelKind.BARGAUGE,
            width=12,
        ),
        Panel(
            title="Kept by dataset",
            queries=one(_sum(_KEPT, "stage", "part"), legend("{{stage}}: {{part}}")),
            description="Samples of each dataset that the stage wrote.",
            kind=PanelKind.BARGAUGE,
            width=12,
        ),
    ),
)

DATA = Dashboard(
    uid="mimo-data",
    title="MiMo-VL: data",
    description="Samples kept by dataset and dropped by reason, of curation and of RL curation.",
    rows=(_WHOLE, _PARTS),
)
