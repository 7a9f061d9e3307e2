"""AdamW as the training stages and the policy use it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from mimo_vl.config.training import OptimizerConfig


def build_adamw(
    groups: Sequence[Mapping[str, Any]], config: OptimizerConfig, *, device: torch.device
) -> torch.optim.AdamW:
    """Groups with their own rates and weight decay (see `parameter_groups`).

    On a CPU the update is one pass over weights, gradients and moments.
    """
    return torch.optim.AdamW(
        [dict(group) for group in groups],
        betas=(config.beta1, config.beta2),
        eps=config.eps,
        fused=device.type == "cpu",
    )
