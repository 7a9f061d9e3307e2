"""What a policy loss gets: the answer tokens of a micro-batch, flat."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True, kw_only=True)
class AnswerTokens:
    """Shapes: N answer tokens of all samples of the micro-batch, fp32.

    logp_N: log-probs under the weights being trained, differentiable. rollout_logp_N: under the weights that sampled.
    advantage_N: A of the token's answer. weight_N: normaliser, fixed before micro-batching, so that the losses of all
    micro-batches of all ranks simply add up.
    """

    logp_N: torch.Tensor
    rollout_logp_N: torch.Tensor
    advantage_N: torch.Tensor
    weight_N: torch.Tensor


PolicyLoss = Callable[[AnswerTokens], torch.Tensor]
