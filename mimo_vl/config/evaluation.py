"""Which models are compared, on how many items, and how they decode."""

from __future__ import annotations

from mimo_vl.config.fields import config


@config
class EvaluationConfig:
    max_new_tokens: int = 32768
    batch_size: int = 32
    sampled_temperature: float = 1.0
    """For the mean reward: same prompts and seeds for both models, paired."""
    samples_per_item: int = 1
    confidence: float = 0.95
    bootstrap_draws: int = 2000
    num_pictures: int = 12
    """Predictions drawn in report.html."""
