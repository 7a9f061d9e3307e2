"""What is the loss, or the log-probability, of the supervised tokens of a packed row?"""

# Shapes: N supervised tokens, D model width
from __future__ import annotations

from dataclasses import dataclass

import torch

from mimo_vl.model.cross_entropy import DEFAULT_CHUNK
from mimo_vl.model.language_head import LogprobTask, LossTask, language_head
from mimo_vl.model.packed import RowTensors, packed_hidden_states
from mimo_vl.model.upstream import Qwen2_5_VLForConditionalGeneration


@dataclass(frozen=True, kw_only=True)
class SupervisedLoss:
    """loss_sum: scaled, weighted, differentiable. token_losses_N: detached nats. segment_N: sample of each token."""

    loss_sum: torch.Tensor
    token_losses_N: torch.Tensor
    segment_N: torch.Tensor


def supervised_loss(
    model: Qwen2_5_VLForConditionalGeneration,
    rows: RowTensors,
    *,
    chunk: int = DEFAULT_CHUNK,
    scale: float = 1.0,
    weights_N: torch.Tensor | None = None,
) -> SupervisedLoss:
    """Forward a row and sum the cross-entropy of its supervised tokens.

    Args:
        model: prepared by `load_model` or `assemble`.
        rows: the packed row.
        chunk: rows of logits that exist at the same time.
        scale: factor of the sum; for the mean over a global batch, ranks * accumulation / supervised tokens in all.
        weights_N: constant factor per supervised token (advantages in RL: loss = -sum A log p), None = 1.
    """
    h_ND = packed_hidden_states(model, rows, rows.predict_index_N)
    task = LossTask(rows.targets_N, chunk=chunk, scale=scale, weights_N=weights_N)
    loss_sum = language_head(model)(h_ND, task)
    return SupervisedLoss(loss_sum=loss_sum, token_losses_N=task.token_losses_N, segment_N=rows.segment_N)


def token_logprobs(
    model: Qwen2_5_VLForConditionalGeneration,
    rows: RowTensors,
    *,
    temperature: float = 1.0,
    chunk: int = DEFAULT_CHUNK,
) -> torch.Tensor:
    """Log-probability [N] of each supervised token under the sampling distribution; differentiable."""
    h_ND = packed_hidden_states(model, rows, rows.predict_index_N)
    logprobs_N: torch.Tensor = language_head(model)(
        h_ND, LogprobTask(rows.targets_N, temperature=temperature, chunk=chunk)
    )
    return logprobs_N
