"""The two tables at the end of a run: stages, and results per task family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from operators.mimo_pipeline.api import MimoPipelineStatus, StageStatus
from operators.mimo_pipeline.local.summary import StageRow

_NONE = "–"


def stage_table(rows: Sequence[StageRow]) -> Table:
    common = _common_folder([row.uri for row in rows if row.uri])
    table = Table(title=f"Stages (artifacts below {common})", title_justify="left")
    for heading in ("stage", "status"):
        table.add_column(heading, no_wrap=True)
    for heading in ("time", "steps", "tokens", "tokens/s", "loss first → last"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("artifact", overflow="fold")
    table.add_column("MLflow run", overflow="fold")
    for row in rows:
        table.add_row(
            row.name,
            "reused" if row.reused and row.status == "Succeeded" else row.status,
            duration(row.seconds),
            _count(row.steps),
            _count(row.tokens),
            _count(row.tokens_per_s),
            _arrow(row.loss_first, row.loss_last),
            row.uri.removeprefix(common) or _NONE,
            row.tracking_run or _NONE,
        )
    return table


def _common_folder(uris: Sequence[str]) -> str:
    """Longest prefix of all URIs that ends with a slash."""
    if not uris:
        return ""
    # The smallest and the largest differ first where any two do.
    first, last = min(uris), max(uris)
    same = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return first[: first.rfind("/", 0, same) + 1]


def result_table(summary: Mapping[str, Any]) -> Table | None:
    """None if nothing was evaluated."""
    families = summary.get("families") or []
    if not families:
        return None
    table = Table(title="Held-out results (fractions; plain text: nats per token)", title_justify="left")
    table.add_column("family", no_wrap=True)
    for heading in ("n", "base", "SFT", "RL", "RL − SFT, 95 % CI"):
        table.add_column(heading, justify="right", no_wrap=True)
    for f in families:
        table.add_row(
            str(f["name"]),
            str(f["n"]),
            *(_with_interval(f, model) for model in ("base", "sft", "rl")),
            _interval(f.get("rl_minus_sft_ci")),
        )
    mean = summary.get("mean_reward")
    if mean:
        values = (_score(mean.get("sft")), _score(mean.get("rl")), _interval(mean.get("rl_minus_sft_ci")))
        table.add_section()
        table.add_row("mean reward, temperature 1", _NONE, _NONE, *values)
    return table


def status_table(status: MimoPipelineStatus) -> Table:
    """For `mimo status`: where every stage stands now."""
    table = Table()
    for heading in ("stage", "state", "attempt", "progress", "reason", "message"):
        table.add_column(heading, overflow="fold")
    for stage in status.stages:
        progress = _NONE
        if stage.progress is not None:
            progress = f"{stage.progress.step}/{stage.progress.total or '?'} {stage.progress.unit}"
        state = f"{stage.state} (reused)" if stage.reused else str(stage.state)
        table.add_row(stage.name, state, str(stage.attempt), progress, stage.reason, _message(stage))
    return table


def _message(stage: StageStatus) -> str:
    return "; ".join(filter(None, [stage.message, stage.earlier_failure]))


def duration(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02d}"


def _count(value: float | None) -> str:
    return _NONE if value is None else f"{value:,.0f}"


def _score(value: float | None) -> str:
    return _NONE if value is None else f"{value:.3f}"


def _arrow(first: float | None, last: float | None) -> str:
    return _NONE if first is None or last is None else f"{first:.3f} → {last:.3f}"


def _interval(bounds: Sequence[float] | None) -> str:
    return _NONE if not bounds else f"[{bounds[0]:+.3f}, {bounds[1]:+.3f}]"


def _with_interval(family: Mapping[str, Any], model: str) -> str:
    bounds = family.get(f"{model}_ci")
    text = _score(family.get(model))
    return f"{text} [{bounds[0]:.3f}, {bounds[1]:.3f}]" if bounds else text
