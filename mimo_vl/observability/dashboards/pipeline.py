"""Overview: where is each pipeline, what waited, what failed, what did it cost?"""

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

_HOUR_S = 3600
_GPU_HOURS = f"sum by ({labels()}) ({newest(names.GPU_TIME, 'stage')}) / {_HOUR_S}"

_STATE = Row(
    title="Where is it?",
    panels=(
        Panel(
            title="Pipelines by phase",
            queries=one(f"sum by (phase) ({newest(names.PIPELINE_PHASE, 'phase')})", "{{phase}}"),
            description="How many of the chosen pipelines are in each phase.",
            kind=PanelKind.STAT,
            width=6,
        ),
        Panel(
            title="State of each stage",
            queries=one(
                newest(names.STAGE_STATE, "stage", "state", "reason"),
                legend("{{stage}}: {{state}} {{reason}}"),
            ),
            description="The state that each stage is in now, and why.",
            kind=PanelKind.TABLE,
            width=10,
        ),
        Panel(
            title="Progress of running attempts",
            queries=one(
                f"{newest(names.STEP, 'stage', 'attempt')} / ({newest(names.NUM_STEPS, 'stage', 'attempt')} > 0)",
                legend("{{stage}}-{{attempt}}"),
            ),
            description="Steps done of steps in all, where the number of steps is known.",
            unit=Unit.RATIO,
        ),
    ),
)
_ATTEMPTS = Row(
    title="What failed, what waited?",
    panels=(
        Panel(
            title="Attempts",
            queries=one(newest(names.STAGE_ATTEMPT, "stage"), legend("{{stage}}")),
            description="The latest attempt of each stage. More than one: it was interrupted, evicted or failed.",
            kind=PanelKind.BARGAUGE,
            thresholds=warn_at(2, 4),
        ),
        Panel(
            title="Failures that count",
            queries=one(newest(names.STAGE_FAILURES, "stage"), legend("{{stage}}")),
            description="Attempts that count against retry.maxAttempts.",
            kind=PanelKind.BARGAUGE,
            thresholds=warn_at(1, 3),
        ),
        Panel(
            title="Time in queues",
            queries=one(newest(names.STAGE_QUEUE_TIME, "stage"), legend("{{stage}}")),
            description="Time that jobs of the stage were seen waiting for admission since the controller started.",
            unit=Unit.SECONDS,
            kind=PanelKind.BARGAUGE,
            thresholds=warn_at(_HOUR_S),
        ),
        Panel(
            title="Why attempts failed",
            queries=one(
                newest(names.STAGE_LAST_FAILURE, "stage", "attempt", "reason", "message"),
                legend("{{stage}}-{{attempt}}: {{reason}} {{message}}"),
            ),
            description="Of each stage the latest attempt without success, also after a later one has succeeded.",
            kind=PanelKind.TABLE,
            width=24,
        ),
    ),
)
_COST = Row(
    title="What does it take?",
    panels=(
        Panel(
            title="Time of each stage",
            queries=one(newest(names.STAGE_TIME, "stage"), legend("{{stage}}")),
            description="From the start of the first attempt until the end, or until now.",
            unit=Unit.SECONDS,
            kind=PanelKind.BARGAUGE,
        ),
        Panel(
            title="GPUs asked for",
            queries=one(newest(names.STAGE_GPUS, "stage"), legend("{{stage}}")),
            description="GPUs in the limits of all pods of a stage. 0 on one machine.",
            kind=PanelKind.BARGAUGE,
            width=6,
        ),
        Panel(
            title="GPU-hours",
            queries=one(_GPU_HOURS, legend()),
            description="GPUs asked for, times the time in which attempts ran; queues, pauses and approvals are free.",
            unit=Unit.HOURS,
            kind=PanelKind.STAT,
            width=5,
        ),
        Panel(
            title="Cost",
            queries=one(
                f"{_GPU_HOURS} * scalar(max({names.GPU_HOUR_PRICE.prometheus_name}))",
                legend(),
            ),
            description="GPU-hours times the price of a GPU-hour (monitoring.gpuHourPrice of the chart).",
            kind=PanelKind.STAT,
            width=5,
        ),
    ),
)
_PROCESSES = Row(
    title="Are the processes well?",
    panels=(
        Panel(
            title="Time since the last step",
            queries=one(
                f"time() - {newest(names.LAST_STEP_TIME, 'stage', 'attempt')}",
                legend("{{stage}}-{{attempt}}"),
            ),
            description="Of running attempts. A stage that tells nothing for half an hour has stalled.",
            unit=Unit.SECONDS,
            thresholds=warn_at(1800),
        ),
        Panel(
            title="Memory of the stage's processes",
            queries=one(newest(names.PROCESS_PSS_BYTES, "stage", "attempt"), legend("{{stage}}-{{attempt}}")),
            description="Proportional set size of the process and its children, the largest node.",
            unit=Unit.BYTES,
        ),
        Panel(
            title="CPU of the machine",
            queries=one(newest(names.SYSTEM_CPU_PERCENT, "stage", "attempt"), legend("{{stage}}-{{attempt}}")),
            description="All cores = 100 %, the busiest node.",
            unit=Unit.PERCENT,
        ),
        Panel(
            title="Mean use of the GPUs",
            queries=one(
                f"avg by ({labels('stage', 'attempt')}) ({names.SYSTEM_GPU_PERCENT.prometheus_name}{CHOSEN})",
                legend("{{stage}}-{{attempt}}"),
            ),
            description="Of all nodes; empty where there is no GPU. More detail: NVIDIA's DCGM exporter.",
            unit=Unit.PERCENT,
        ),
        Panel(
            title="Memory of the machine",
            queries=one(newest(names.SYSTEM_MEMORY_PERCENT, "stage", "attempt"), legend("{{stage}}-{{attempt}}")),
            description="Used share of the fullest node.",
            unit=Unit.PERCENT,
            thresholds=warn_at(85, 95),
        ),
    ),
)

OVERVIEW = Dashboard(
    uid="mimo-overview",
    title="MiMo-VL: pipelines",
    description="Stages, attempts, queue time, GPU-hours and cost of all pipelines.",
    rows=(_STATE, _ATTEMPTS, _COST, _PROCESSES),
)
