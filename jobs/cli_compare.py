"""`mimo compare`: what differs between two runs, in configuration, stages and results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from jobs.cli_output import Format, print_json, wide_console
from jobs.cli_report import run_facts
from jobs.cli_target import Target
from jobs.run_source import PLACES
from mimo_vl.reporting.read import read_run
from mimo_vl.reporting.run import Run, Stage
from mimo_vl.reporting.stage_graph import shown_duration
from mimo_vl.schema.evaluation import FamilyComparison

_NONE = "–"
_MISSING = "(not set)"


@dataclass(frozen=True, kw_only=True)
class Difference:
    field: str
    first: Any
    second: Any


def read_compared(target: Target) -> Run:
    found = target.load()
    with target.open_source(found) as source:
        return read_run(source, with_metrics=False)


def config_differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Difference]:
    """Of every field that is not about a place, by its path."""
    a, b = dict(_flat(first)), dict(_flat(second))
    return [
        Difference(field=path, first=a.get(path, _MISSING), second=b.get(path, _MISSING))
        for path in sorted(a.keys() | b.keys())
        if a.get(path, _MISSING) != b.get(path, _MISSING) and path.split(".")[0] not in PLACES
    ]


def print_comparison(first: Run, second: Run, output: Format) -> None:
    differences = config_differences(first.environment.config, second.environment.config)
    if output == Format.JSON:
        facts = [{"field": d.field, "first": d.first, "second": d.second} for d in differences]
        print_json({"config": facts, "runs": [run_facts(first), run_facts(second)]})
        return
    console = wide_console()
    console.print(f"1: {first.run_id}  {first.phase}", markup=False, highlight=False)
    console.print(f"2: {second.run_id}  {second.phase}", markup=False, highlight=False)
    _print_config(console, differences, first, second)
    console.print(_stage_table(first, second))
    results = _result_table(first, second)
    console.print(results if results else "neither run has been evaluated")


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _print_config(console: Console, differences: list[Difference], first: Run, second: Run) -> None:
    codes = (first.environment.code_digest, second.environment.code_digest)
    rows = [Difference(field="(code)", first=codes[0], second=codes[1])] if codes[0] != codes[1] else []
    rows += differences
    if not rows:
        console.print("configuration and code are the same")
        return
    table = Table(title="Configuration, where it differs", title_justify="left")
    for heading in ("field", "1", "2"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(row.field, str(row.first), str(row.second))
    console.print(table)


def _stage_table(first: Run, second: Run) -> Table:
    table = Table(title="Stages", title_justify="left")
    table.add_column("stage", no_wrap=True)
    for heading in ("state", "attempts", "time", "tokens/s", "loss"):
        for number in (1, 2):
            table.add_column(f"{heading} {number}", justify="left" if heading == "state" else "right", no_wrap=True)
    table.add_column("output")
    runs = [{stage.name: stage for stage in run.stages} for run in (first, second)]
    for name in dict.fromkeys([*runs[0], *runs[1]]):
        pair = (runs[0].get(name), runs[1].get(name))
        cells = zip(_cells(pair[0]), _cells(pair[1]), strict=True)
        digests = {stage.digest if stage else "" for stage in pair}
        same = "the same" if len(digests) == 1 and "" not in digests else "differs" if "" not in digests else _NONE
        table.add_row(name, *(cell for both in cells for cell in both), same)
    return table


def _cells(stage: Stage | None) -> tuple[str, ...]:
    if stage is None:
        return (_NONE,) * 5
    speed, loss = stage.tokens_per_second, stage.metrics.get("loss_last")
    return (
        stage.state,
        str(len(stage.attempts)),
        shown_duration(stage.seconds),
        _NONE if speed is None else f"{speed:,.0f}",
        _NONE if loss is None else f"{loss:.3f}",
    )


def _result_table(first: Run, second: Run) -> Table | None:
    evaluations = [run.material.evaluation for run in (first, second)]
    families = [{f.name: f for f in e.families} if e else {} for e in evaluations]
    models = [m for m in ("base", "sft", "rl") if any(e and m in e.models for e in evaluations)]
    if not models:
        return None
    table = Table(title="Held-out results, with 95 % intervals", title_justify="left")
    table.add_column("family", no_wrap=True)
    for model in models:
        for number in (1, 2):
            table.add_column(f"{model} {number}", justify="right", no_wrap=True)
    for name in dict.fromkeys([*families[0], *families[1]]):
        pair = [by_name.get(name) for by_name in families]
        table.add_row(name, *(_score(family, model) for model in models for family in pair))
    rewards = [e.mean_reward if e else None for e in evaluations]
    means = [_mean(getattr(r, model, None) if r else None) for model in models for r in rewards]
    table.add_section()
    table.add_row("mean reward", *means)
    return table


def _score(family: FamilyComparison | None, model: str) -> str:
    score = family.models.get(model) if family else None
    return _NONE if score is None else f"{score.value:.3f} [{score.ci[0]:.3f}, {score.ci[1]:.3f}]"


def _mean(value: float | None) -> str:
    return _NONE if value is None else f"{value:.3f}"
