"""One optimizer step: losses summed over micro-batches, normalised by the targets of all ranks, checked, applied.

loss = sum over targets * R / N_total, because data-parallel engines average gradients over the R ranks; N_total counts
the targets of all ranks and micro-batches and is known before the first backward.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from mimo_vl.training.engine import TrainingEngine
from mimo_vl.training.micro_batch import MicroBatch
from mimo_vl.training.non_finite import non_finite_error
from mimo_vl.training.world import World, gather_strings, sum_over_ranks


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """Totals over all ranks. loss_by_group leaves out groups without a target in this step."""

    loss: float
    loss_by_group: dict[str, float]
    num_targets: int
    num_tokens: int
    num_pairs: int
    num_patches: int
    grad_norm: float
    is_stop_requested: bool


def train_step(
    engine: TrainingEngine,
    micro_batches: Sequence[MicroBatch],
    *,
    step: int,
    groups: Sequence[str],
    world: World,
    should_stop: bool,
) -> StepResult:
    """Accumulate gradients, refuse non-finite losses, update the weights.

    `should_stop` is this rank's wish; the result says whether any rank has it, so that all stop after the same step.

    Raises:
        ValueError: no target in the whole step.
        NonFiniteLossError: on every rank, before the weights change, naming the step and the samples.
    """
    num_targets = int(sum_over_ranks([sum(m.num_targets for m in micro_batches)], world)[0])
    if num_targets == 0:
        raise ValueError(f"step {step} has no supervised token on any rank; check the data mixture")
    scale = world.size / num_targets
    totals = _GroupTotals(groups)
    for index, micro_batch in enumerate(micro_batches):
        loss, segment_losses_S = engine(micro_batch.payload, scale)
        engine.backward(loss)
        totals.add(micro_batch, segment_losses_S)
        if index + 1 < len(micro_batches):
            engine.micro_step()
    counts = [
        float(should_stop),
        float(len(totals.bad_sample_ids)),
        float(sum(m.num_tokens for m in micro_batches)),
        float(sum(m.num_pairs for m in micro_batches)),
        float(sum(m.num_patches for m in micro_batches)),
    ]
    summed = sum_over_ranks([*counts, *totals.losses, *totals.targets], world)
    if summed[1]:
        raise non_finite_error("loss", step, gather_strings(totals.bad_sample_ids, world))
    engine.micro_step()
    grad_norm = engine.grad_norm()
    if not math.isfinite(grad_norm):
        all_ids = [sample_id for m in micro_batches for sample_id in m.sample_ids_S]
        raise non_finite_error("gradient norm", step, gather_strings(all_ids, world))
    losses, targets = summed[len(counts) : len(counts) + len(groups)], summed[len(counts) + len(groups) :]
    return StepResult(
        loss=sum(losses) / num_targets,
        loss_by_group={g: s / n for g, s, n in zip(groups, losses, targets, strict=True) if n},
        num_targets=num_targets,
        num_tokens=int(summed[2]),
        num_pairs=int(summed[3]),
        num_patches=int(summed[4]),
        grad_norm=grad_norm,
        is_stop_requested=summed[0] > 0,
    )


class _GroupTotals:
    """Sums of losses and targets per group on this rank; non-finite segments are named instead of summed."""

    def __init__(self, groups: Sequence[str]) -> None:
        self._index = {group: i for i, group in enumerate(groups)}
        self.losses = [0.0] * len(groups)
        self.targets = [0.0] * len(groups)
        self.bad_sample_ids: list[str] = []

    def add(self, micro_batch: MicroBatch, segment_losses_S: torch.Tensor) -> None:
        # The one synchronisation per micro-batch.
        losses = segment_losses_S.detach().double().tolist()
        segments = zip(losses, micro_batch.groups_S, micro_batch.num_targets_S, micro_batch.sample_ids_S, strict=True)
        for loss, group, num_targets, sample_id in segments:
            if not math.isfinite(loss):
                self.bad_sample_ids.append(sample_id)
                continue
            self.losses[self._index[group]] += loss
            self.targets[self._index[group]] += num_targets
