"""Reward service: how fast does it judge, what is waiting, what could not be judged, what does it give?"""

from __future__ import annotations

from mimo_vl.observability import metrics as names
from mimo_vl.observability.dashboards.panel import (
    CHOSEN,
    WINDOW,
    Dashboard,
    Panel,
    Query,
    Row,
    Unit,
    labels,
    legend,
    one,
    warn_at,
)
from mimo_vl.observability.metrics import Metric

# A rate without traffic is 0, not 0 / 0.
_NEVER_ZERO = 1e-9


def _rate(sample: str, *more: str) -> str:
    return f"sum by ({labels(*more)}) (rate({sample}{CHOSEN}[{WINDOW}]))"


def _total(metric: Metric) -> str:
    return _rate(metric.sample_names[0], "task")


def _quantile(quantile: float, metric: Metric, *more: str) -> str:
    return f"histogram_quantile({quantile}, {_rate(metric.sample_names[0], 'le', *more)})"


def _share_of_results(metric: Metric) -> str:
    return f"{_total(metric)} / clamp_min({_total(names.SCORE_RESULTS)}, {_NEVER_ZERO})"


def _mean(metric: Metric) -> str:
    _, total, count = metric.sample_names
    return f"{_rate(total, 'task')} / clamp_min({_rate(count, 'task')}, {_NEVER_ZERO})"


_REJECTED = names.SCORE_REJECTED.sample_names[0]
# Of every service that there is: a code that was never answered has no series.
_NONE_REFUSED = f"0 * max by ({labels()}) ({names.SCORE_QUEUE.prometheus_name}{CHOSEN})"
_SPEED = Row(
    title="How fast, how much is waiting?",
    panels=(
        Panel(
            title="Completions judged",
            queries=one(_total(names.SCORE_RESULTS), legend("{{task}}")),
            description="Per second, by task.",
            unit=Unit.PER_SECOND,
        ),
        Panel(
            title="Latency, 95 %",
            queries=one(_quantile(0.95, names.SCORE_LATENCY, "task"), legend("{{task}}")),
            description="Time that the worker took for one completion.",
            unit=Unit.SECONDS,
            thresholds=warn_at(10),
        ),
        Panel(
            title="Time of a batch",
            queries=(
                Query(expr=_quantile(0.5, names.SCORE_BATCH_TIME), legend=legend("50 %")),
                Query(expr=_quantile(0.95, names.SCORE_BATCH_TIME), legend=legend("95 %")),
            ),
            description="From the call to its answer, waiting included.",
            unit=Unit.SECONDS,
        ),
        Panel(
            title="Queue",
            queries=one(f"sum by ({labels()}) ({names.SCORE_QUEUE.prometheus_name}{CHOSEN})", legend()),
            description="Completions taken in and not answered yet. Bounded by rewards.max_queued_requests.",
            thresholds=warn_at(2048),
        ),
    ),
)
_UNKNOWN = Row(
    title="What could not be judged?",
    panels=(
        Panel(
            title="Rewards that are null",
            queries=one(_share_of_results(names.SCORE_NULLS), legend("{{task}}")),
            description="Share by task. Their groups are scored again, then dropped.",
            unit=Unit.RATIO,
            thresholds=warn_at(0.01, 0.05),
        ),
        Panel(
            title="Time-outs",
            queries=one(_total(names.SCORE_TIMEOUTS), legend("{{task}}")),
            description="Per second, by task.",
            unit=Unit.PER_SECOND,
        ),
        Panel(
            title="Calls refused",
            queries=one(
                f"{_rate(names.SCORE_REJECTED.sample_names[0], 'code')} or {_NONE_REFUSED}", legend("{{code}}")
            ),
            description="Per second, by status: 401 wrong token, 409 other version, 413 too large, 503 full queue.",
            unit=Unit.PER_SECOND,
        ),
    ),
)
_VALUES = Row(
    title="What does it give?",
    panels=(
        Panel(
            title="Mean reward",
            queries=one(_mean(names.SCORE_VALUE), legend("{{task}}")),
            description="Of the completions judged in the last minutes.",
            unit=Unit.RATIO,
            width=12,
        ),
        Panel(
            title="Results by status",
            queries=one(_rate(names.SCORE_RESULTS.sample_names[0], "task", "status"), legend("{{task}} {{status}}")),
            description="unparsable is a verdict (reward 0); all others but scored are none.",
            unit=Unit.PER_SECOND,
            width=12,
        ),
    ),
)

REWARDS = Dashboard(
    uid="mimo-rewards",
    title="MiMo-VL: reward service",
    description="Latency, queue, null rate and time-outs per reward.",
    rows=(_SPEED, _UNKNOWN, _VALUES),
)
