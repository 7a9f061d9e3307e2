"""MORL: are rewards rising, do groups teach something, who waits for whom, is it on-policy, how long are answers?"""

from __future__ import annotations

from mimo_vl.observability import metrics as names
from mimo_vl.observability.dashboards.panel import Dashboard, Panel, Query, Row, Unit, legend, newest, one, warn_at
from mimo_vl.observability.metrics import Metric

_LEGEND = legend("attempt {{attempt}}")
_LEGEND_OF_FAMILY = legend("{{part}}")
# Metrics that exist for the whole batch and for each family: the part tells which.
_WHOLE, _FAMILY = 'stage="morl",part=""', 'stage="morl",part!=""'


def _whole(metric: Metric) -> str:
    return newest(metric, "attempt", matching=_WHOLE)


def _by_family(metric: Metric) -> str:
    return newest(metric, "attempt", "part", matching=_FAMILY)


_LEARNING = Row(
    title="Is it learning?",
    panels=(
        Panel(
            title="Mean reward",
            queries=one(_whole(names.REWARD), _LEGEND),
            description="Of the step's completions; families count equally.",
            unit=Unit.RATIO,
        ),
        Panel(
            title="Reward by family",
            queries=one(_by_family(names.REWARD_BY_FAMILY), _LEGEND_OF_FAMILY),
            description="A family that falls while others rise is being traded away.",
            unit=Unit.RATIO,
        ),
        Panel(
            title="Policy loss, entropy, gradient",
            queries=(
                Query(expr=_whole(names.POLICY_LOSS), legend=legend("policy loss")),
                Query(expr=_whole(names.ENTROPY), legend=legend("entropy (nats per token)")),
                Query(expr=_whole(names.GRAD_NORM), legend=legend("norm of the gradient")),
            ),
            description="Entropy that falls towards 0: the policy has stopped exploring.",
        ),
    ),
)
_PASS_RATES = Row(
    title="Do groups teach something?",
    panels=(
        Panel(
            title="Pass rate by family",
            queries=one(_by_family(names.PASS_RATE), _LEGEND_OF_FAMILY),
            description="Judged completions with full reward; partial credit is none. 1: nothing is left to learn.",
            unit=Unit.RATIO,
            width=6,
        ),
        Panel(
            title="Groups with different rewards",
            queries=one(_by_family(names.VALID_GROUPS), _LEGEND_OF_FAMILY),
            description="Share by family. All right or all wrong: the group has no advantage and is wasted.",
            unit=Unit.RATIO,
            width=6,
        ),
        Panel(
            title="Wasted groups",
            queries=one(f"1 - {_whole(names.VALID_GROUPS)}", _LEGEND),
            description="Share of rolled out groups that teach nothing.",
            unit=Unit.RATIO,
            thresholds=warn_at(0.8, 0.95),
            width=6,
        ),
        Panel(
            title="Batch: groups trained, dropped, scored again; waves",
            queries=(
                Query(expr=_whole(names.BATCH_GROUPS), legend=legend("trained")),
                Query(expr=_whole(names.DROPPED_GROUPS), legend=legend("dropped, a reward unknown")),
                Query(expr=_whole(names.RESCORED_GROUPS), legend=legend("scored again")),
                Query(expr=_whole(names.WAVES), legend=legend("waves")),
            ),
            description="Dropped groups point to the reward service; many waves to prompts that are too easy or hard.",
            width=6,
        ),
    ),
)
_SPEED = Row(
    title="Who waits for whom?",
    panels=(
        Panel(
            title="Time of rollout and update",
            queries=(
                Query(expr=_whole(names.ROLLOUT_TIME), legend=legend("rollout and scoring")),
                Query(expr=_whole(names.UPDATE_TIME), legend=legend("update")),
            ),
            description="Wall time of the two halves of a step.",
            unit=Unit.SECONDS,
        ),
        Panel(
            title="Rollout workers idle",
            queries=one(
                f"{_whole(names.UPDATE_TIME)} / ({_whole(names.ROLLOUT_TIME)} + {_whole(names.UPDATE_TIME)})", _LEGEND
            ),
            description="Share of a step in which they wait for the update and the new weights.",
            unit=Unit.RATIO,
            thresholds=warn_at(0.5),
        ),
        Panel(
            title="Answer tokens per second of rollout",
            queries=one(f"{_whole(names.ANSWER_TOKENS)} / {_whole(names.ROLLOUT_TIME)}", _LEGEND),
            description="Of the answers that were trained on; all rollout workers together.",
        ),
        Panel(
            title="Lag of the weights",
            queries=one(f"{_whole(names.UPDATES)} - 1 - {_whole(names.WEIGHT_VERSION)}", _LEGEND),
            description="Updates between the weights that generated a batch and those that it updates. On-policy: 0.",
            thresholds=warn_at(1),
        ),
    ),
)
_HONESTY = Row(
    title="Are trainer and engine the same policy? Are rewards known?",
    panels=(
        Panel(
            title="Mismatch of log-probabilities",
            queries=(
                Query(expr=_whole(names.LOGPROB_GAP), legend=legend("mean")),
                Query(expr=_whole(names.LOGPROB_GAP_MAX), legend=legend("largest")),
            ),
            description="|trainer - engine| per token. A mean above 0.05 nats: they compute different things.",
            thresholds=warn_at(0.05),
        ),
        Panel(
            title="Completions without a reward",
            queries=one(_whole(names.NULL_REWARDS), _LEGEND),
            description="Could not be judged in the step: time-outs, or a reward model that is down.",
            thresholds=warn_at(1),
        ),
        Panel(
            title="Length of completions",
            queries=one(_by_family(names.COMPLETION_TOKENS), _LEGEND_OF_FAMILY),
            description="Mean tokens by family.",
        ),
        Panel(
            title="Completions cut at the limit",
            queries=one(_whole(names.TRUNCATED), _LEGEND),
            description="A cut completion has no answer; raise rl.max_new_tokens if many are.",
            unit=Unit.RATIO,
            thresholds=warn_at(0.2),
        ),
    ),
)

MORL = Dashboard(
    uid="mimo-morl",
    title="MiMo-VL: mixed on-policy RL",
    description="Rewards per family, pass rates, rollout idle and waste, weight lag, mismatch and lengths.",
    rows=(_LEARNING, _PASS_RATES, _SPEED, _HONESTY),
)
