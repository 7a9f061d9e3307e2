"""report.html: one self-contained page, readable without a network; the same input gives the same bytes."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import jinja2

from mimo_vl.evaluation.charts import MODEL_COLOURS, curve_chart, interval_chart
from mimo_vl.evaluation.collect import RunMaterial
from mimo_vl.evaluation.summary import reward_models
from mimo_vl.schema.evaluation import Bounds, Evaluation, FamilyComparison, ModelScore, StageSummary

MODEL_TITLES = {"base": "Base", "sft": "SFT", "rl": "RL"}
_FAMILY_TITLES = {"ocr": "OCR", "qa": "Question answering", "gui": "GUI"}
# Longer texts are cut in the report; results/*.jsonl has them whole.
_SHOWN_CHARS = 600


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What only the controller knows; empty in the report that lies in the artifact."""

    title: str = "MiMo-VL run"
    total_seconds: float | None = None
    peak_pss_bytes: int | None = None


def render_report(material: RunMaterial, stages: Sequence[StageSummary], facts: RunFacts) -> str:
    evaluation = material.evaluation
    return _template().render(
        facts=facts,
        stages=stages,
        num_failed=sum(s.status != "Succeeded" for s in stages),
        evaluation=evaluation,
        titles=MODEL_TITLES,
        colours=MODEL_COLOURS,
        cards=_cards(evaluation) if evaluation else [],
        intervals=interval_chart(_interval_rows(evaluation)) if evaluation else "",
        pictures=[(p, _data_uri(material.pictures[p.path])) for p in evaluation.pictures] if evaluation else [],
        losses=[(name, curve_chart(c, y_label="loss", key=name)) for name, c in material.loss_curves.items()],
        rewards=curve_chart(material.reward_curves, y_label="mean reward", key="rewards", size_inches=(8.4, 3.2)),
        reward_models=list(reward_models(material)),
        examples=material.examples,
    )


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mimo_vl.evaluation", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(
        score=_score, interval=_interval, signed=_signed, duration=_duration, family=_family_title, shorten=_shorten
    )
    return environment.get_template("report.html.j2")


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


def _interval_rows(evaluation: Evaluation) -> list[tuple[str, dict[str, tuple[float, float, float]]]]:
    return [(_family_title(family.name), _dots(family)) for family in evaluation.families]


def _dots(family: FamilyComparison) -> dict[str, tuple[float, float, float]]:
    return {name: (score.value, *score.ci) for name, score in family.models.items()}


def _data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _score(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _interval(bounds: Bounds | None) -> str:
    return "–" if bounds is None else f"{bounds[0]:.3f} – {bounds[1]:.3f}"


def _signed(bounds: Bounds | None) -> str:
    return "–" if bounds is None else f"[{bounds[0]:+.3f}, {bounds[1]:+.3f}]"


def _duration(seconds: float | None) -> str:
    return "–" if seconds is None else f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _family_title(name: str) -> str:
    return _FAMILY_TITLES.get(name) or name.replace("_", " ").capitalize()


def _shorten(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + " …"
