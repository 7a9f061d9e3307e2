"""report.html: one self-contained page of a run, readable without a network; the same values give the same bytes."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2

from mimo_vl.evaluation.collect import StageOutput
from mimo_vl.evaluation.summary import reward_models
from mimo_vl.observability.metrics import is_of_the_machine
from mimo_vl.reporting.chart_groups import Chart, charts
from mimo_vl.reporting.curves import Series, StageCurves
from mimo_vl.reporting.lineage import tree_lines
from mimo_vl.reporting.run import Attempt, AttemptState, Run, Stage
from mimo_vl.reporting.stage_graph import shown_duration, stage_graph, style_of, time_line
from mimo_vl.reporting.svg import NUM_COLOURS, curve_chart, interval_chart, short_number
from mimo_vl.schema.evaluation import Bounds, Evaluation, FamilyComparison, ModelScore

MODEL_TITLES = {"base": "Base", "sft": "SFT", "rl": "RL"}
_FAMILY_TITLES = {"ocr": "OCR", "qa": "Question answering", "gui": "GUI"}
_PAIR_TITLES = {"sft_sft": "two SFT answers", "base_sft": "base against SFT", "base_base": "two base answers"}
# Longer texts are cut in the report; results/*.jsonl has them whole.
_SHOWN_CHARS = 600
_FAILED = frozenset({AttemptState.FAILED, AttemptState.KILLED})


@dataclass(frozen=True, kw_only=True)
class ShownChart:
    """`legend`: (class of the colour, name, last value)."""

    title: str
    unit: str
    svg: str
    legend: Sequence[tuple[str, str, str]]
    is_main: bool
    num_left_out: int
    has_replaced: bool


def render_page(run: Run, *, now: datetime | None = None) -> str:
    """`now`: end of the bars of what still runs."""
    return _render(run, charts_of_machine=True, times=time_line(run.stages, now))


def render_artifact_page(run: Run) -> str:
    """The same page as it lies in an artifact: nothing in it depends on when, where or how fast the run was."""
    return _render(_without_place_and_time(run), charts_of_machine=False, times="")


def _render(run: Run, *, charts_of_machine: bool, times: str) -> str:
    evaluation = run.material.evaluation
    return _template().render(
        run=run,
        style=_style(),
        root=_root(run),
        tracking_runs=_tracking_runs(run),
        num_failed=sum(s.state in _FAILED for s in run.stages),
        num_done=sum(s.output is not None for s in run.stages),
        graph=stage_graph(run.stages) if run.stages else "",
        times=times,
        evaluation=evaluation,
        titles=MODEL_TITLES,
        cards=_cards(evaluation) if evaluation else [],
        intervals=interval_chart(_interval_rows(evaluation), label="results by family") if evaluation else "",
        pictures=_pictures(run, evaluation) if evaluation else [],
        curves=[(c.stage, _shown_charts(c, with_machine=charts_of_machine)) for c in run.curves],
        pair_titles=_PAIR_TITLES,
        reward_models=list(reward_models(run.material)),
        lineage=_lineage(run),
        config=json.dumps(run.environment.config, indent=1, sort_keys=True, ensure_ascii=False),
        outputs={stage.name: stage for stage in run.stages if stage.output is not None},
    )


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mimo_vl.reporting", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(
        score=_score,
        interval=_interval,
        signed=_signed,
        duration=shown_duration,
        family=_family_title,
        shorten=_shorten,
        tone=style_of,
        brief=_brief,
        number=short_number,
        gib=lambda size: f"{size / 2**30:.2f} GiB",
        moment=_moment,
        below=_below,
    )
    return environment.get_template("page.html.j2")


@cache
def _style() -> str:
    return files("mimo_vl.reporting").joinpath("style.css").read_text(encoding="utf-8")


def _shown_charts(curves: StageCurves, *, with_machine: bool) -> list[ShownChart]:
    return [_shown(curves.stage, chart) for chart in charts(curves, with_machine=with_machine)]


def _shown(stage: str, chart: Chart) -> ShownChart:
    group = chart.group
    return ShownChart(
        title=group.title,
        unit=group.unit,
        svg=curve_chart(chart.curves, chart.replaced, label=f"{group.title}, {stage}"),
        legend=[(f"c{i % NUM_COLOURS}", name, _last(series)) for i, (name, series) in enumerate(chart.curves)],
        is_main=group.is_main,
        num_left_out=sum(series.num_left_out for _, series in chart.curves),
        has_replaced=bool(chart.replaced),
    )


def _last(series: Series) -> str:
    return short_number(float(series.values[-1])) if len(series.values) else "–"


def _root(run: Run) -> str:
    """Address of the run's own folder in the store, as its attempts show it."""
    uris = [a.uri for stage in run.stages for a in stage.attempts if f"/{run.run_id}/" in a.uri]
    return uris[0][: uris[0].rindex(f"/{run.run_id}/") + len(run.run_id) + 1] if uris and run.run_id else ""


def _tracking_runs(run: Run) -> str:
    """What the addresses of runs in the tracking server begin with; "" if it has no address of its own."""
    start, runs, _ = run.tracking_url.rpartition("/runs/")
    return start + runs


def _lineage(run: Run) -> list[tuple[Any, Any]]:
    """(artifact, the tree above it) of every stage's output, in the order of the stages."""
    by_digest = {artifact.digest: artifact for artifact in run.artifacts}
    return [
        (stage, tree_lines(stage.digest, by_digest))
        for stage in run.stages
        if stage.digest and stage.digest in by_digest
    ]


def _without_place_and_time(run: Run) -> Run:
    """Digests say which artifacts are meant; their addresses are another matter."""
    return replace(
        run,
        run_id="",
        started_at=None,
        finished_at=None,
        tracking_url="",
        stages=[_bare(stage) for stage in run.stages],
        artifacts=[replace(a, uri="", run_id="", code_digest=a.code_digest) for a in run.artifacts],
        environment=replace(run.environment, machines={}, images={}),
    )


def _bare(stage: Stage) -> Stage:
    attempts = [_bare_attempt(a, keeps_message=not stage.known.reused) for a in stage.attempts]
    output = stage.output and _without_speeds(stage.output)
    return replace(stage, uri="", attempts=attempts, output=output, known=replace(stage.known, output_uri=""))


def _without_speeds(output: StageOutput) -> StageOutput:
    kept = {name: value for name, value in output.manifest.metrics.items() if not is_of_the_machine(name)}
    return replace(output, manifest=output.manifest.model_copy(update={"metrics": kept}))


def _bare_attempt(attempt: Attempt, *, keeps_message: bool) -> Attempt:
    return Attempt(
        number=attempt.number,
        state=attempt.state,
        reason=attempt.reason,
        message=attempt.message if keeps_message else "",
        exit_code=attempt.exit_code,
    )


def _cards(evaluation: Evaluation) -> list[tuple[str, str, str]]:
    """(value, title, note) of the figures that a reader wants first."""
    cards = []
    mean = evaluation.mean_reward
    if mean.sft is not None and mean.rl is not None and mean.rl_minus_sft is not None:
        note = f"SFT {_score(mean.sft)} → RL {_score(mean.rl)}, 95 % CI {_signed(mean.rl_minus_sft_ci)}"
        cards.append((f"{mean.rl_minus_sft:+.3f}", "mean reward gained by RL", note))
    elif mean.sft is not None:
        cards.append((_score(mean.sft), "mean reward of SFT", "five verifiable families, temperature 1"))
    compared = [f for f in evaluation.families if {"base", "sft"} <= set(f.models)]
    risen = sum(_is_apart(f.models["sft"], f.models["base"]) for f in compared)
    if compared:
        cards.append((f"{risen} / {len(compared)}", "families above base after SFT", "95 % intervals apart"))
    best = evaluation.models[-1]
    for name, title in (("ocr", "digits read right"), ("counting", "counts right"), ("grounding", "grounding")):
        family = next((f for f in evaluation.families if f.name == name), None)
        if family:
            score = family.models[best]
            cards.append((_score(score.value), title, f"{MODEL_TITLES[best]}, n = {score.n}, {_interval(score.ci)}"))
    return cards


def _is_apart(higher: ModelScore, lower: ModelScore) -> bool:
    return higher.ci[0] > lower.ci[1]


def _interval_rows(evaluation: Evaluation) -> list[tuple[str, Mapping[str, tuple[float, float, float]]]]:
    return [(_family_title(family.name), _dots(family)) for family in evaluation.families]


def _dots(family: FamilyComparison) -> dict[str, tuple[float, float, float]]:
    return {name: (score.value, *score.ci) for name, score in family.models.items()}


def _pictures(run: Run, evaluation: Evaluation) -> list[tuple[Any, str]]:
    found = run.material.pictures
    return [(p, _data_uri(found[p.path])) for p in evaluation.pictures if p.path in found]


def _data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _score(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _interval(bounds: Bounds | None) -> str:
    return "–" if bounds is None else f"{bounds[0]:.3f} – {bounds[1]:.3f}"


def _signed(bounds: Bounds | None) -> str:
    return "–" if bounds is None else f"[{bounds[0]:+.3f}, {bounds[1]:+.3f}]"


def _family_title(name: str) -> str:
    return _FAMILY_TITLES.get(name) or name.replace("_", " ").capitalize()


def _shorten(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + " …"


def _brief(digest: str) -> str:
    """Enough of a digest to tell it from others."""
    return digest[: len("sha256:") + 12] if digest.startswith("sha256:") else digest


def _below(uri: str, run_id: str) -> str:
    """The part of an address that differs within a run; of another run's artifact the whole."""
    return uri.rpartition(f"/{run_id}/")[2] if run_id else uri


def _moment(time: datetime | None) -> str:
    return "–" if time is None else f"{time:%Y-%m-%d %H:%M:%S %Z}".strip()
