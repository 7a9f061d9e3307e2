"""Which models are compared, on how many items, and how they decode."""

from __future__ import annotations

from mimo_vl.config.fields import config, unhashed


@config
class EvaluationConfig:
    tasks: tuple[str, ...] = ()
    """Ids of the tasks to run; empty = the whole suite."""
    max_new_tokens: int = 32768
    """Length at which an answer is cut."""
    batch_size: int = 32
    """Answers that are generated together."""
    sampled_temperature: float = 1.0
    """For the mean reward: same prompts and seeds for both models, paired."""
    samples_per_item: int = 1
    """Answers per item at temperature 1, for the mean reward."""
    confidence: float = 0.95
    """Level of all confidence intervals."""
    bootstrap_draws: int = 2000
    """Resamples behind each interval."""
    num_pictures: int = 12
    """Predictions drawn in report.html."""
    num_workers: int = unhashed(1)
    """Processes that share the models' tasks; results do not depend on it."""
