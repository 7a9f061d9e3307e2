"""GRPO with a clipped importance ratio, as MiMo-7B trains (arXiv 2505.07608; clip-higher: DAPO, arXiv 2503.14476).

loss = -sum w * min(rho * A, clip(rho, 1 - eps_low, 1 + eps_high) * A),   rho = exp(logp - rollout_logp)

The comparison side of the report's figure on on-policy against vanilla GRPO. Several updates per rollout are allowed.
The old policy is the one that sampled: its log-probs come with the completions. No KL term, as in MiMo-7B.
"""

from __future__ import annotations

import torch

from mimo_vl.rl.losses.tokens import AnswerTokens, PolicyLoss


def vanilla_grpo(clip_low: float, clip_high: float) -> PolicyLoss:
    """The loss for these clip widths."""

    def loss(tokens: AnswerTokens) -> torch.Tensor:
        ratio_N = torch.exp(tokens.logp_N - tokens.rollout_logp_N)
        clipped_N = ratio_N.clamp(1.0 - clip_low, 1.0 + clip_high)
        surrogate_N = torch.minimum(ratio_N * tokens.advantage_N, clipped_N * tokens.advantage_N)
        return -(tokens.weight_N * surrogate_N).sum()

    return loss
