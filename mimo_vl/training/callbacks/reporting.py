"""Who is told about a step: the progress record that people watch, the tracker, and one log line now and then."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Protocol

from mimo_vl.observability.metrics import TOKENS
from mimo_vl.training.callbacks.callback import Callback, StepReport
from mimo_vl.training.callbacks.history import History
from mimo_vl.training.callbacks.throughput import Throughput

logger = logging.getLogger(__name__)


class ProgressSink(Protocol):
    def __call__(self, step: int, total: int, unit: str = "steps", message: str = "", **metrics: float) -> None: ...


class MetricSink(Protocol):
    """The part of a tracker that training uses."""

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None: ...


class Reporting(Callback):
    """After `throughput` and `history` in the list of callbacks: it tells what they have counted."""

    def __init__(
        self,
        progress: ProgressSink,
        metrics: MetricSink,
        throughput: Throughput,
        history: History,
        *,
        every_steps: int,
        is_main: bool,
    ) -> None:
        self._progress = progress
        self._metrics = metrics
        self._throughput = throughput
        self._history = history
        self._every_steps = every_steps
        self._is_main = is_main

    def on_step_end(self, report: StepReport) -> None:
        if not self._is_main:
            return
        rates = self._throughput.rates()
        loss = report.result.loss
        self._progress(report.step, report.num_steps, loss=loss, tokens_per_s=rates["tokens_per_s"])
        if report.step % self._every_steps and report.step != report.num_steps:
            return
        self._metrics.log_metrics(self._values(report, rates), report.step)
        logger.debug("step=%d loss=%.4f grad_norm=%.3f", report.step, loss, report.result.grad_norm)

    def _values(self, report: StepReport, rates: Mapping[str, float]) -> dict[str, float]:
        result = report.result
        return {
            "loss": result.loss,
            **{f"loss_{group}": value for group, value in result.loss_by_group.items()},
            "grad_norm": result.grad_norm,
            "num_targets": float(result.num_targets),
            TOKENS.name: float(self._history.num_tokens),
            **{f"lr_{name}": value for name, value in report.learning_rates.items()},
            **rates,
        }
