"""Which function computes the loss that `rl.loss` names?"""

from __future__ import annotations

from mimo_vl.config.rl import RlConfig
from mimo_vl.rl.losses.on_policy_grpo import on_policy_grpo
from mimo_vl.rl.losses.tokens import PolicyLoss
from mimo_vl.rl.losses.vanilla_grpo import vanilla_grpo


def build_policy_loss(config: RlConfig) -> PolicyLoss:
    if config.loss == "on_policy_grpo":
        return on_policy_grpo
    return vanilla_grpo(config.clip_low, config.clip_high)
