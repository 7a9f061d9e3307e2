"""Pre-training stages and reward models: is it learning, is it fast, is data flowing, is it balanced?"""

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
    warn_at,
)
from mimo_vl.observability.metrics import Metric
from mimo_vl.vocabulary import PRETRAINING_STAGES, REWARD_MODEL_STAGES

_STAGES = f'stage=~"{"|".join([*PRETRAINING_STAGES, *REWARD_MODEL_STAGES])}"'
_BY_ATTEMPT = ("stage", "attempt")
_LEGEND = legend("{{stage}}-{{attempt}}")
_LEGEND_OF_PART = legend("{{stage}} {{part}}")


def _of_attempts(metric: Metric, *more: str) -> str:
    return newest(metric, *_BY_ATTEMPT, *more, matching=_STAGES)


_LEARNING = Row(
    title="Is it learning?",
    panels=(
        Panel(
            title="Loss",
            queries=one(_of_attempts(names.LOSS), _LEGEND),
            description="Mean cross-entropy per supervised token of the step; of reward models the loss of pairs.",
        ),
        Panel(
            title="Norm of the gradient",
            queries=one(_of_attempts(names.GRAD_NORM), _LEGEND),
            description="Before clipping. Spikes that the loss follows: lower the learning rate.",
        ),
        Panel(
            title="Learning rate",
            queries=one(_of_attempts(names.LEARNING_RATE, "part"), _LEGEND_OF_PART),
            description="Of each parameter group.",
        ),
        Panel(
            title="Reward models: pairwise accuracy",
            queries=one(_of_attempts(names.PAIRWISE_ACCURACY), _LEGEND),
            description="Held-out pairs in which the chosen answer wins; known at the end. 0.5 is chance.",
            unit=Unit.RATIO,
            kind=PanelKind.STAT,
            thresholds=good_from(0.6),
        ),
    ),
)
_SPEED = Row(
    title="Is it fast?",
    panels=(
        Panel(
            title="Tokens per second",
            queries=one(_of_attempts(names.TOKENS_PER_S), _LEGEND),
            description="All ranks together, padding excluded.",
        ),
        Panel(
            title="Vision patches per second",
            queries=one(_of_attempts(names.PATCHES_PER_S), _LEGEND),
            description="All ranks together.",
        ),
        Panel(
            title="Model FLOPs utilisation",
            queries=one(_of_attempts(names.MFU), _LEGEND),
            description="Achieved by peak FLOP/s; empty where the peak of the device is not known, as of CPUs.",
            unit=Unit.RATIO,
        ),
    ),
)
_FLOW = Row(
    title="Is data flowing?",
    panels=(
        Panel(
            title="Share of time spent waiting for data",
            queries=one(_of_attempts(names.DATA_WAIT), _LEGEND),
            description="Above 10 %: more loader workers, or a store that is nearer.",
            unit=Unit.RATIO,
            thresholds=warn_at(0.1, 0.3),
        ),
        Panel(
            title="Steps",
            queries=one(_of_attempts(names.STEP), _LEGEND),
            description="Optimizer steps that the attempt has done, those of earlier attempts included.",
        ),
        Panel(
            title="Tokens",
            queries=one(_of_attempts(names.TOKENS), _LEGEND),
            description="Trained on since the stage began, earlier attempts included, padding excluded.",
        ),
        Panel(
            title="Supervised tokens of a step",
            queries=one(_of_attempts(names.TARGETS), _LEGEND),
            description="All ranks together. A fall means that rows are less full or carry other data.",
        ),
    ),
)
_BALANCE = Row(
    title="Is it balanced?",
    panels=(
        Panel(
            title="Loss by data type",
            queries=one(_of_attempts(names.LOSS_BY_TYPE, "part"), _LEGEND_OF_PART),
            description="Of the tokens of one data type.",
            width=12,
        ),
        Panel(
            title="Loss of a data type by the mean loss",
            queries=one(
                f"{_of_attempts(names.LOSS_BY_TYPE, 'part')} / on ({labels(*_BY_ATTEMPT)}) group_left () "
                f"{_of_attempts(names.LOSS)}",
                _LEGEND_OF_PART,
            ),
            description="Far above 1 for long: this type gets too small a share of the mixture, or its data is noisy.",
            thresholds=warn_at(3),
            width=12,
        ),
        Panel(
            title="Packing efficiency",
            queries=one(_of_attempts(names.PACKING_EFFICIENCY), _LEGEND),
            description="Filled part of the rows of a step, in tokens. What is missing is computed for nothing.",
            unit=Unit.RATIO,
            thresholds=good_from(0.8),
        ),
        Panel(
            title="Tokens of the fullest rank",
            queries=one(_of_attempts(names.TOKEN_IMBALANCE), _LEGEND),
            description="By the mean of all ranks, of a step's rows; 1 is even. All ranks wait for the fullest.",
            thresholds=warn_at(1.2),
        ),
        Panel(
            title="Vision patches of the fullest rank",
            queries=one(_of_attempts(names.PATCH_IMBALANCE), _LEGEND),
            description="By the mean of all ranks, of a step's rows; the number of ranks = one has all pictures.",
            thresholds=warn_at(1.5),
        ),
    ),
)

TRAINING = Dashboard(
    uid="mimo-training",
    title="MiMo-VL: pre-training and reward models",
    description="Loss, speed, data flow and balance of the stages that train by gradient on a dataset.",
    rows=(_LEARNING, _SPEED, _FLOW, _BALANCE),
)
