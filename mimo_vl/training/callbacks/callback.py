"""When a callback runs: the hooks of the trainer, with their exact moments."""

from __future__ import annotations

from dataclasses import dataclass, field

from mimo_vl.training.train_step import StepResult


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """Everything known after update `step` (1-based: the number of updates done)."""

    step: int
    num_steps: int
    result: StepResult
    learning_rates: dict[str, float] = field(default_factory=dict)
    step_s: float
    """Wall time of the step, waiting for data included."""
    data_wait_s: float
    """Time in which this rank waited for its rows."""
    rank_tokens: int
    rank_patches: int
    """Of this rank's rows; `result` has the totals of all."""


class Callback:
    """Base class with empty hooks. Every rank has the same callbacks, and calls them in the order of the list."""

    def on_step_end(self, report: StepReport) -> None:
        """After the weights were updated, before a checkpoint of this step is written."""

    def on_checkpoint(self, step: int) -> None:
        """After a checkpoint of `step` was sealed."""
