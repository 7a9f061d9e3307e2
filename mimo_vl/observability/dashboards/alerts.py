"""When should somebody be told? Prometheus rules; each alert has a runbook docs/runbooks/<name>.md.

The operator's own metrics may come from several installations; `operator_selector` picks one of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml

from mimo_vl.observability import metrics as names
from mimo_vl.observability.dashboards.panel import labels

RUNBOOKS = "docs/runbooks"
# Replaced by the chart with the namespace of the release.
CHART_SELECTOR = '{namespace="@NAMESPACE@"}'

_PIPELINE = "{{ $labels.mimo_namespace }}/{{ $labels.mimo_pipeline }}"
_STAGE = f"{_PIPELINE}, stage {{{{ $labels.stage }}}}"
_BY_STAGE, _BY_TASK = labels("stage"), labels("task")


@dataclass(frozen=True, kw_only=True)
class Alert:
    """`summary` may name labels as {{ $labels.x }}."""

    name: str
    expr: str
    lasts: str
    summary: str
    severity: str = "warning"


def alerts(operator_selector: str = "") -> tuple[Alert, ...]:
    return (*_of_operator(operator_selector), *_of_pipelines(), *_of_training())


def rules(operator_selector: str = "") -> dict[str, Any]:
    """One group; Prometheus evaluates its rules one after the other."""
    return {"groups": [{"name": "mimo", "rules": [_rule(alert) for alert in alerts(operator_selector)]}]}


def rules_text(operator_selector: str = "") -> str:
    return yaml.safe_dump(rules(operator_selector), sort_keys=False, width=1000)


def _rule(alert: Alert) -> dict[str, Any]:
    return {
        "alert": alert.name,
        "expr": alert.expr,
        **({"for": alert.lasts} if alert.lasts != "0s" else {}),
        "labels": {"severity": alert.severity},
        "annotations": {"summary": alert.summary, "runbook": f"{RUNBOOKS}/{alert.name}.md"},
    }


def _live(series: str) -> str:
    """By stage, while its process is there: after its end the controller goes on showing what it left."""
    return f"max by ({_BY_STAGE}) ({series} and on ({_BY_STAGE}) {names.START_TIME.prometheus_name})"


def _of_operator(selector: str) -> tuple[Alert, ...]:
    return (
        Alert(
            name="MimoOperatorDoesNotWork",
            expr=f"(sum({names.IS_LEADER.prometheus_name}{selector}) or vector(0)) < 1",
            lasts="5m",
            severity="critical",
            summary="No replica of the operator works; running stages go on, none is started or retried.",
        ),
        Alert(
            name="MimoOperatorRoundsFail",
            expr=f"sum by (kind) (rate({names.ERRORS.sample_names[0]}{selector}[10m])) > 0",
            lasts="15m",
            summary="Rounds over pipelines have failed for 15 minutes with {{ $labels.kind }}.",
        ),
    )


def _of_pipelines() -> tuple[Alert, ...]:
    state, running = names.STAGE_STATE.prometheus_name, '{state="Running"}'
    failed = f'{names.PIPELINE_PHASE.prometheus_name}{{phase="Failed"}}'
    return (
        Alert(
            name="MimoPipelineFailed",
            expr=f"max by ({labels()}) ({failed}) == 1",
            lasts="0s",
            summary=f"Pipeline {_PIPELINE} has failed.",
        ),
        Alert(
            name="MimoStageFailsAgain",
            # The count stays when the stage has ended.
            expr=f"max by ({_BY_STAGE}) ({names.STAGE_FAILURES.prometheus_name}) >= 2 "
            f'and on ({_BY_STAGE}) {state}{{state=~"Queued|Running|Retrying"}}',
            lasts="0s",
            summary=f"{_STAGE} has failed {{{{ $value }}}} times; its last attempts are running out.",
        ),
        Alert(
            name="MimoStageQueuedLong",
            expr=f'max by ({_BY_STAGE}) ({state}{{state="Queued"}}) == 1',
            lasts="1h",
            summary=f"{_STAGE} has waited in a queue for an hour.",
        ),
        Alert(
            name="MimoStageStalled",
            # Before its first step: since it began.
            expr=f"time() - max by ({_BY_STAGE}, attempt) "
            f"({names.LAST_STEP_TIME.prometheus_name} or {names.START_TIME.prometheus_name}) > 1800",
            lasts="5m",
            summary=f"{_STAGE} has told of no step for half an hour.",
        ),
        Alert(
            name="MimoStageShowsNoMetrics",
            expr=f"max by ({_BY_STAGE}) ({state}{running}) == 1 unless on ({_BY_STAGE}) "
            f"{names.START_TIME.prometheus_name}",
            lasts="15m",
            summary=f"{_STAGE} runs, but its metrics are not scraped.",
        ),
        Alert(
            name="MimoNodeMemoryAlmostFull",
            expr=f"max by ({_BY_STAGE}) ({names.SYSTEM_MEMORY_PERCENT.prometheus_name}) > 95",
            lasts="5m",
            summary=f"A machine of {_STAGE} uses {{{{ $value }}}} % of its memory.",
        ),
    )


def _of_training() -> tuple[Alert, ...]:
    nulls, results = names.SCORE_NULLS.sample_names[0], names.SCORE_RESULTS.sample_names[0]
    valid_groups = f'{names.VALID_GROUPS.prometheus_name}{{part=""}}'
    return (
        Alert(
            name="MimoTrainingWaitsForData",
            expr=f"{_live(names.DATA_WAIT.prometheus_name)} > 0.3",
            lasts="15m",
            summary=f"{_STAGE} spends {{{{ $value | humanizePercentage }}}} of its time waiting for data.",
        ),
        Alert(
            name="MimoLogprobMismatch",
            expr=f"{_live(names.LOGPROB_GAP.prometheus_name)} > 0.05",
            lasts="10m",
            summary=f"{_STAGE}: trainer and engine differ by {{{{ $value }}}} nats per token; it is not on-policy.",
        ),
        Alert(
            name="MimoGroupsTeachNothing",
            expr=f"{_live(valid_groups)} < 0.05",
            lasts="30m",
            summary=f"{_STAGE}: {{{{ $value | humanizePercentage }}}} of the groups have rewards that differ.",
        ),
        Alert(
            name="MimoRewardsUnknown",
            expr=f"sum by ({_BY_TASK}) (rate({nulls}[10m])) / sum by ({_BY_TASK}) (rate({results}[10m])) > 0.05",
            lasts="10m",
            summary=f"{_PIPELINE}: {{{{ $value | humanizePercentage }}}} of the completions of task "
            "{{ $labels.task }} get no reward.",
        ),
        Alert(
            name="MimoRewardTimeouts",
            expr=f"sum by ({_BY_TASK}) (rate({names.SCORE_TIMEOUTS.sample_names[0]}[10m])) > 0",
            lasts="10m",
            summary=f"{_PIPELINE}: the judge of task {{{{ $labels.task }}}} keeps running out of time.",
        ),
    )
