"""Overview: where is each pipeline, what waited, what failed, what did it cost?"""

from __future__ import annotations

from mimo_vl.observability import metrics as names
from mimo_vl.observability.dashboards.panel import CHOSEN, Dashboard, Panel, PanelKind, Row, Unit, newest, one, warn_at

_HOUR_S = 3600
_ATTEMPT = "mimo_pipeline, stage, attempt"

_STATE = Row(
    title="Where is it?",
    panels=(
        Panel(
            title="Pipelines by phase",
            queries=one(f"sum by (phase) ({names.PIPELINE_PHASE.prometheus_name}{CHOSEN})", "{{phase}}"),
            description="How many of the chosen pipelines are in each phase.",
            kind=PanelKind.STAT,
            width=6,
        ),
        Panel(
            title="State of each stage",
            queries=one(
                newest(names.STAGE_STATE, "mimo_pipeline", "stage", "state", "reason"),
                "{{mimo_pipeline}} {{stage}}: {{state}} {{reason}}",
            ),
            description="The state that each stage is in now, and why.",
            kind=PanelKind.TABLE,
            width=10,
        ),
        Panel(
            title="Progress of running attempts",
            queries=one(
                f"{newest(names.STEP, 'mimo_pipeline', 'stage', 'attempt')} / "
                f"({newest(names.NUM_STEPS, 'mimo_pipeline', 'stage', 'attempt')} > 0)",
                "{{mimo_pipeline}} {{stage}}-{{attempt}}",
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
            queries=one(newest(names.STAGE_ATTEMPT, "mimo_pipeline", "stage"), "{{mimo_pipeline}} {{stage}}"),
            description="The latest attempt of each stage. More than one: it was interrupted, evicted or failed.",
            kind=PanelKind.BARGAUGE,
            thresholds=warn_at(2, 4),
        ),
        Panel(
            title="Failures that count",
            queries=one(newest(names.STAGE_FAILURES, "mimo_pipeline", "stage"), "{{mimo_pipeline}} {{stage}}"),
            description="Attempts that count against retry.maxAttempts.",
            kind=PanelKind.BARGAUGE,
            thresholds=warn_at(1, 3),
        ),
        Panel(
            title="Time in queues",
            queries=one(newest(names.STAGE_QUEUE_TIME, "mimo_pipeline", "stage"), "{{mimo_pipeline}} {{stage}}"),
            description="Time that jobs of the stage were seen waiting for admission since the controller started.",
            unit=Unit.SECONDS,
            kind=PanelKind.BARGAUGE,
            thresholds=warn_at(_HOUR_S),
        ),
    ),
)
_COST = Row(
    title="What does it take?",
    panels=(
        Panel(
            title="Time of each stage",
            queries=one(newest(names.STAGE_TIME, "mimo_pipeline", "stage"), "{{mimo_pipeline}} {{stage}}"),
            description="From the start of the first attempt until the end, or until now.",
            unit=Unit.SECONDS,
            kind=PanelKind.BARGAUGE,
        ),
        Panel(
            title="GPUs asked for",
            queries=one(newest(names.STAGE_GPUS, "mimo_pipeline", "stage"), "{{mimo_pipeline}} {{stage}}"),
            description="GPUs in the limits of all pods of a stage. 0 on one machine.",
            kind=PanelKind.BARGAUGE,
            width=6,
        ),
        Panel(
            title="GPU-hours",
            queries=one(
                f"sum by (mimo_pipeline) ({names.GPU_TIME.prometheus_name}{CHOSEN}) / {_HOUR_S}", "{{mimo_pipeline}}"
            ),
            description="GPUs asked for, times the time of the stage outside of queues.",
            unit=Unit.HOURS,
            kind=PanelKind.STAT,
            width=5,
        ),
        Panel(
            title="Cost",
            queries=one(
                f"sum by (mimo_pipeline) ({names.GPU_TIME.prometheus_name}{CHOSEN}) / {_HOUR_S} * "
                f"scalar(max({names.GPU_HOUR_PRICE.prometheus_name}))",
                "{{mimo_pipeline}}",
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
                f"time() - {newest(names.LAST_STEP_TIME, 'mimo_pipeline', 'stage', 'attempt')}",
                "{{mimo_pipeline}} {{stage}}-{{attempt}}",
            ),
            description="Of running attempts. A stage that tells nothing for half an hour has stalled.",
            unit=Unit.SECONDS,
            thresholds=warn_at(1800),
        ),
        Panel(
            title="Memory of the stage's processes",
            queries=one(newest(names.PROCESS_PSS_BYTES, "mimo_pipeline", "stage", "attempt"), "{{stage}}-{{attempt}}"),
            description="Proportional set size of the process and its children, the largest node.",
            unit=Unit.BYTES,
        ),
        Panel(
            title="CPU of the machine",
            queries=one(newest(names.SYSTEM_CPU_PERCENT, "mimo_pipeline", "stage", "attempt"), "{{stage}}-{{attempt}}"),
            description="All cores = 100 %, the busiest node.",
            unit=Unit.PERCENT,
        ),
        Panel(
            title="Mean use of the GPUs",
            queries=one(
                f"avg by ({_ATTEMPT}) ({names.SYSTEM_GPU_PERCENT.prometheus_name}{CHOSEN}) or "
                f"0 * max by ({_ATTEMPT}) ({names.SYSTEM_CPU_PERCENT.prometheus_name}{CHOSEN})",
                "{{stage}}-{{attempt}}",
            ),
            description="Of all nodes of the attempt; 0 where there is none. More detail: NVIDIA's DCGM exporter.",
            unit=Unit.PERCENT,
        ),
        Panel(
            title="Memory of the machine",
            queries=one(
                newest(names.SYSTEM_MEMORY_PERCENT, "mimo_pipeline", "stage", "attempt"), "{{stage}}-{{attempt}}"
            ),
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
