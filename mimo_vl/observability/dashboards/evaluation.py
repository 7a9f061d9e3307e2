"""Evaluation: how good are the base, SFT and RL models, by family and by reward?"""

from __future__ import annotations

from mimo_vl.observability import metrics as names
from mimo_vl.observability.dashboards.panel import (
    Dashboard,
    Panel,
    PanelKind,
    Row,
    Unit,
    good_from,
    labels,
    legend,
    newest,
    one,
)


def _by_model(expr: str) -> str:
    """part="sft/grounding" becomes model="sft", family="grounding"."""
    model = f'label_replace({expr}, "model", "$1", "part", "([^/]+)/.*")'
    return f'label_replace({model}, "family", "$1", "part", "[^/]+/(.*)")'


def _mean_reward(part: str) -> str:
    return newest(names.MEAN_REWARD, "part", matching=part)


_DIFFERENCE = "rl_minus_sft"
_SCORES = Row(
    title="How good is it?",
    panels=(
        Panel(
            title="Mean reward over the verifiable families",
            queries=one(newest(names.MEAN_REWARD, "part", matching='part!="rl_minus_sft"'), legend("{{part}}")),
            description="Of the SFT and the RL model on held-out items.",
            unit=Unit.RATIO,
            kind=PanelKind.STAT,
        ),
        Panel(
            title="RL minus SFT",
            queries=one(_mean_reward(f'part="{_DIFFERENCE}"'), legend()),
            description="What RL added to the mean reward. Confidence intervals are in the report.",
            unit=Unit.RATIO,
            kind=PanelKind.STAT,
            thresholds=good_from(0),
        ),
        Panel(
            title="Mean score of each model",
            queries=one(
                f"avg by ({labels('model')}) ({_by_model(newest(names.EVALUATION_SCORE, 'part'))})",
                legend("{{model}}"),
            ),
            description="Over all families, each counting the same.",
            unit=Unit.RATIO,
            kind=PanelKind.BARGAUGE,
        ),
        Panel(
            title="Score by family and model",
            queries=one(_by_model(newest(names.EVALUATION_SCORE, "part")), legend("{{family}} {{model}}")),
            description="In [0, 1], by the metric of the family.",
            unit=Unit.RATIO,
            kind=PanelKind.BARGAUGE,
            width=24,
        ),
    ),
)

EVALUATION = Dashboard(
    uid="mimo-evaluation",
    title="MiMo-VL: evaluation",
    description="Scores of the models of a pipeline on held-out items.",
    rows=(_SCORES,),
)
