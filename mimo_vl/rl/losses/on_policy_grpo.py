"""Fully on-policy GRPO, the objective of the MiMo-VL report (section 3.3, equation 1; GRPO: arXiv 2402.03300).

J = E[ 1/(sum_i |o_i|) * sum_i sum_j A_ij ] has no visible dependence on log-probs; its gradient is the policy gradient
    grad J = E[ sum_ij w * A_ij * grad log p(o_ij) ],   w = 1 / (tokens of the group * groups).
As a loss: -sum w * A * exp(logp - stop_gradient(logp)): the ratio is exactly 1, its gradient is grad logp.
One update per rollout batch. Left out on purpose: importance ratio, clipping, KL term.
"""

from __future__ import annotations

import torch

from mimo_vl.rl.losses.tokens import AnswerTokens


def on_policy_grpo(tokens: AnswerTokens) -> torch.Tensor:
    """Sum over the micro-batch's tokens; its value is -sum w * A, its gradient the policy gradient."""
    ratio_N = torch.exp(tokens.logp_N - tokens.logp_N.detach())
    return -(tokens.weight_N * tokens.advantage_N * ratio_N).sum()
