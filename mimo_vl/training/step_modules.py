"""The forwards that the engine wraps: a payload and a scale in, (scaled loss, loss per segment) out."""

# Shapes: S segments (samples of packed rows, or preference pairs), N supervised tokens, T tokens
from __future__ import annotations

import torch
from torch import nn

from mimo_vl.model.packed import row_tensors
from mimo_vl.model.reward_head import RewardModel
from mimo_vl.model.supervised import supervised_loss
from mimo_vl.model.upstream import Qwen2_5_VLForConditionalGeneration
from mimo_vl.processing.packed_row import PackedRow
from mimo_vl.training.preference_loss import bradley_terry_losses


class SupervisedStep(nn.Module):
    """Next-token loss of a packed row.

    Returns the differentiable sum of token losses times `scale`, and the detached sum [S] per segment in nats.
    """

    def __init__(self, model: Qwen2_5_VLForConditionalGeneration, *, chunk: int) -> None:
        super().__init__()
        self.model = model
        self.chunk = chunk

    def forward(self, row: PackedRow, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
        rows = row_tensors(row, self.model.lm_head.weight.device)
        result = supervised_loss(self.model, rows, chunk=self.chunk, scale=scale)
        losses_S = torch.zeros(rows.num_segments, device=result.token_losses_N.device)
        losses_S.index_add_(0, result.segment_N, result.token_losses_N.float())
        return result.loss_sum, losses_S


class PreferenceStep(nn.Module):
    """Bradley-Terry loss of a row that holds both answers of each pair, chosen first.

    Returns the differentiable sum of pair losses times `scale`, and the detached loss [K] per pair. In evaluation mode
    the second value is 1 where the chosen answer has the higher score, 0 elsewhere and 0.5 for a tie.
    """

    def __init__(self, model: RewardModel, *, center_penalty: float) -> None:
        super().__init__()
        self.model = model
        self.center_penalty = center_penalty

    def forward(self, row: PackedRow, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
        scores_K2 = self.model.scores(row_tensors(row, self.model.head.weight.device)).reshape(-1, 2)
        chosen_K, rejected_K = scores_K2.unbind(1)
        losses_K = bradley_terry_losses(chosen_K, rejected_K, center_penalty=self.center_penalty)
        if self.training:
            return losses_K.sum() * scale, losses_K.detach()
        return losses_K.sum() * scale, (0.5 + 0.5 * (chosen_K - rejected_K).sign()).detach()
