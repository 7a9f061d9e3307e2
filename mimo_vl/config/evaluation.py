"""Which models are compared, on how many items, and how they decode."""

from __future__ import annotations

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from mimo_vl.config.fields import config, unhashed
from mimo_vl.vocabulary import EvaluationTask


@config
class EvaluationConfig:
    tasks: tuple[EvaluationTask, ...] = ()
    """Ids of the tasks to run; empty = the whole suite."""
    max_new_tokens: PositiveInt = 32768
    """Length at which an answer is cut."""
    batch_size: PositiveInt = 32
    """Answers that are generated together."""
    sampled_temperature: PositiveFloat = 1.0
    """For the mean reward: same prompts and seeds for both models, paired."""
    samples_per_item: PositiveInt = 1
    """Answers per item at temperature 1, for the mean reward."""
    confidence: float = Field(default=0.95, gt=0, lt=1)
    """Level of all confidence intervals."""
    bootstrap_draws: PositiveInt = 2000
    """Resamples behind each interval."""
    num_pictures: NonNegativeInt = 12
    """Predictions drawn in report.html."""
    num_workers: PositiveInt = unhashed(1)
    """Processes that share the models' tasks; results do not depend on it."""
