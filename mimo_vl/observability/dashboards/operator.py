"""The operator (or `mimo run`): does it work, is it fast, does it see what happens?"""

from __future__ import annotations

from mimo_vl.observability import metrics as names
from mimo_vl.observability.dashboards.panel import (
    WINDOW,
    Dashboard,
    Panel,
    PanelKind,
    Query,
    Row,
    Unit,
    good_from,
    one,
    warn_at,
)

_ROUND_BUCKET = names.RECONCILE_TIME.sample_names[0]


def _rate(sample: str, by: str = "") -> str:
    grouped = f"sum by ({by})" if by else "sum"
    return f"{grouped} (rate({sample}[{WINDOW}]))"


_WORK = Row(
    title="Does it work?",
    panels=(
        Panel(
            title="Replicas that work",
            queries=one(f"sum({names.IS_LEADER.prometheus_name})", "leaders"),
            description="Exactly one holds the lease; 0: nothing is started or retried, running stages go on.",
            kind=PanelKind.STAT,
            thresholds=good_from(1),
            width=6,
        ),
        Panel(
            title="Pipelines by phase",
            queries=one(f"max by (phase) ({names.PIPELINES.prometheus_name})", "{{phase}}"),
            description="Of all namespaces that it looks after.",
            width=9,
        ),
        Panel(
            title="Rounds that failed",
            queries=(
                Query(expr=f"{_rate(names.ERRORS.sample_names[0], 'kind')} or vector(0)", legend="{{kind}}"),
                Query(expr=_rate(names.CONFLICTS.sample_names[0]), legend="conflicts, tried again at once"),
            ),
            description="Per second, by kind of error. One pipeline's errors do not stop the others.",
            unit=Unit.PER_SECOND,
            width=9,
        ),
    ),
)
_SPEED = Row(
    title="Is it fast, does it see what happens?",
    panels=(
        Panel(
            title="Rounds",
            queries=one(_rate(names.RECONCILES.sample_names[0]), "rounds"),
            description="Looks at pipelines per second, failed ones included.",
            unit=Unit.PER_SECOND,
            width=6,
        ),
        Panel(
            title="Time of a round",
            queries=tuple(
                Query(expr=f"histogram_quantile({q}, {_rate(_ROUND_BUCKET, 'le')})", legend=f"{q:.0%}")
                for q in (0.5, 0.95)
            ),
            description="Most of it is spent in requests to the API server and the store.",
            unit=Unit.SECONDS,
            thresholds=warn_at(10),
            width=6,
        ),
        Panel(
            title="Queue",
            queries=one(f"max({names.QUEUE_LENGTH.prometheus_name})", "waiting"),
            description="Pipelines that wait for a worker or for their time.",
            width=6,
        ),
        Panel(
            title="Age of the last watch event",
            queries=one(f"min({names.WATCH_AGE.prometheus_name})", "age"),
            description="High is normal while nothing happens; the liveness probe tells a dead watch from a quiet one.",
            unit=Unit.SECONDS,
            width=6,
        ),
    ),
)

OPERATOR = Dashboard(
    uid="mimo-operator",
    title="MiMo-VL: operator",
    description="Rounds, errors, leader and watch of the controller.",
    rows=(_WORK, _SPEED),
    has_pipelines=False,
)
