"""What an update and the batch before it were like, as numbers under the platform's metric names."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from mimo_vl.observability import metrics as names
from mimo_vl.rl.curation import is_solved
from mimo_vl.rl.rollout import RolloutBatch
from mimo_vl.schema.record import Record
from mimo_vl.schema.rollout import ScoredGroup


class UpdateMetrics(Record):
    """Over all ranks. mismatch: |log p (trainer) - log p (engine)| per answer token, before the (first) update."""

    loss: float = 0.0
    grad_norm: float = 0.0
    mismatch_mean: float = 0.0
    mismatch_max: float = 0.0
    num_answer_tokens: int = 0


def step_metrics(batch: RolloutBatch, update: UpdateMetrics) -> dict[str, float]:
    """Deterministic facts of a step; rewards and lengths are over all groups that were rolled out, valid or not."""
    launched = [group for tally in batch.tallies.values() for _, group in tally.launched]
    values = {
        names.BATCH_GROUPS.name: float(len(batch.groups)),
        names.VALID_GROUPS.name: sum(t.num_valid for t in batch.tallies.values()) / max(1, len(launched)),
        names.DROPPED_GROUPS.name: float(sum(t.num_dropped for t in batch.tallies.values())),
        names.RESCORED_GROUPS.name: float(batch.num_rescored),
        names.WAVES.name: float(batch.num_waves),
        names.POLICY_LOSS.name: update.loss,
        names.ANSWER_TOKENS.name: float(update.num_answer_tokens),
        names.GRAD_NORM.name: update.grad_norm,
        names.LOGPROB_GAP.name: update.mismatch_mean,
        names.LOGPROB_GAP_MAX.name: update.mismatch_max,
        names.WEIGHT_VERSION.name: float(batch.step),
        **_answer_metrics(launched),
    }
    for family, tally in batch.tallies.items():
        groups = [group for _, group in tally.launched]
        rewards = [r for group in groups for r in group.rewards if r is not None]
        if rewards:
            values[names.REWARD_BY_FAMILY.of(family)] = fmean(rewards)
            values[names.PASS_RATE.of(family)] = fmean(float(is_solved(reward)) for reward in rewards)
        values[names.VALID_GROUPS.of(family)] = tally.num_valid / max(1, len(groups))
        values[names.COMPLETION_TOKENS.of(family)] = fmean(_lengths(groups)) if groups else 0.0
    by_family = [v for k, v in values.items() if k.startswith(names.REWARD_BY_FAMILY.of(""))]
    if by_family:
        # Families count equally, whatever their quotas.
        values[names.REWARD.name] = fmean(by_family)
    return values


def _answer_metrics(groups: Sequence[ScoredGroup]) -> dict[str, float]:
    completions = [c for group in groups for c in group.completions]
    if not completions:
        return {}
    logprobs = [p for c in completions for p in c.logprobs]
    return {
        names.NULL_REWARDS.name: float(sum(r is None for group in groups for r in group.rewards)),
        names.COMPLETION_TOKENS.name: fmean(_lengths(groups)),
        names.TRUNCATED.name: fmean(float(c.finish_reason == "length") for c in completions),
        # Monte Carlo: the mean of -log p over sampled tokens estimates the entropy per token.
        names.ENTROPY.name: -fmean(logprobs),
    }


def _lengths(groups: Sequence[ScoredGroup]) -> list[float]:
    return [float(len(c.token_ids)) for group in groups for c in group.completions]
