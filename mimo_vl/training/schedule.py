"""How does the learning rate move over a stage? A pure function of the step, so a resumed run continues it exactly."""

from __future__ import annotations

import math

from mimo_vl.config.training import ScheduleConfig


def lr_factor(step: int, num_steps: int, config: ScheduleConfig) -> float:
    """Share of the peak rate for update `step` (0-based).

    Linear warm-up over `warmup_fraction` of the stage, reaching 1 with the last warm-up step; then constant, or a
    linear or half-cosine fall that reaches `final_lr_ratio` with the last step.

    Raises:
        ValueError: step outside [0, num_steps).
    """
    if not 0 <= step < num_steps:
        raise ValueError(f"step is {step}, wanted 0 <= step < num_steps = {num_steps}")
    num_warmup = math.ceil(config.warmup_fraction * num_steps)
    if step < num_warmup:
        return (step + 1) / num_warmup
    if config.kind == "constant":
        return 1.0
    # 0 at the first step after warm-up, 1 at the last step of the stage.
    done = (step - num_warmup) / max(1, num_steps - 1 - num_warmup)
    remaining = 1.0 - done if config.kind == "linear" else 0.5 * (1.0 + math.cos(math.pi * done))
    return config.final_lr_ratio + (1.0 - config.final_lr_ratio) * remaining
