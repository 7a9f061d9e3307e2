"""Which losses has the stage seen? Kept in checkpoints, so that a resumed run reports what a whole one does."""

from __future__ import annotations

from typing import Any

from mimo_vl.training.callbacks.callback import Callback, StepReport


class History(Callback):
    """One entry per update: loss, per group too, targets, tokens, gradient norm. No times: part of the artifact."""

    def __init__(self) -> None:
        self.steps: list[dict[str, Any]] = []
        self.num_tokens = 0
        self.num_patches = 0
        self.num_targets = 0

    def on_step_end(self, report: StepReport) -> None:
        result = report.result
        self.steps.append(
            {
                "step": report.step,
                "loss": result.loss,
                "loss_by_group": result.loss_by_group,
                "num_targets": result.num_targets,
                "num_tokens": result.num_tokens,
                "grad_norm": result.grad_norm,
            }
        )
        self.num_tokens += result.num_tokens
        self.num_patches += result.num_patches
        self.num_targets += result.num_targets

    def state(self) -> dict[str, Any]:
        return {
            "steps": self.steps,
            "num_tokens": self.num_tokens,
            "num_patches": self.num_patches,
            "num_targets": self.num_targets,
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.steps = list(state["steps"])
        self.num_tokens = state["num_tokens"]
        self.num_patches = state["num_patches"]
        self.num_targets = state["num_targets"]
