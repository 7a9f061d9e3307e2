"""Who is told about a step: the progress record that people watch, the tracker, and one log line now and then."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Protocol

from mimo_vl.observability.metrics import PACKING_EFFICIENCY, TOKENS
from mimo_vl.training.callbacks.balance import rank_balance
from mimo_vl.training.callbacks.callback import Callback, StepReport
from mimo_vl.training.callbacks.history import History
from mimo_vl.training.callbacks.throughput import Throughput
from mimo_vl.training.world import World

logger = logging.getLogger(__name__)


class ProgressSink(Protocol):
    def __call__(self, step: int, total: int, unit: str = "steps", message: str = "", **metrics: float) -> None: ...


class MetricSink(Protocol):
    """The part of a tracker that training uses."""

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None: ...


class Reporting(Callback):
    """After `throughput` and `history` in the list of callbacks: it tells what they have counted.

    row_tokens_per_step: what the rows of a step have room for, of all ranks; 0 where it trains on no packed rows.
    """

    def __init__(
        self,
        progress: ProgressSink,
        metrics: MetricSink,
        throughput: Throughput,
        history: History,
        *,
        every_steps: int,
        row_tokens_per_step: int,
        world: World,
    ) -> None:
        self._progress = progress
        self._metrics = metrics
        self._throughput = throughput
        self._history = history
        self._every_steps = every_steps
        self._row_tokens_per_step = row_tokens_per_step
        self._world = world

    def on_step_end(self, report: StepReport) -> None:
        is_logged = report.step % self._every_steps == 0 or report.step == report.num_steps
        balance = rank_balance(report, self._world) if is_logged else {}
        if not self._world.is_main:
            return
        rates = self._throughput.rates()
        loss = report.result.loss
        self._progress(report.step, report.num_steps, loss=loss, tokens_per_s=rates["tokens_per_s"])
        if not is_logged:
            return
        self._metrics.log_metrics({**self._values(report, rates), **balance}, report.step)
        logger.debug("step=%d loss=%.4f grad_norm=%.3f", report.step, loss, report.result.grad_norm)

    def _values(self, report: StepReport, rates: Mapping[str, float]) -> dict[str, float]:
        result, capacity = report.result, self._row_tokens_per_step
        return {
            "loss": result.loss,
            **{f"loss_{group}": value for group, value in result.loss_by_group.items()},
            "grad_norm": result.grad_norm,
            "num_targets": float(result.num_targets),
            TOKENS.name: float(self._history.num_tokens),
            **{f"lr_{name}": value for name, value in report.learning_rates.items()},
            **rates,
            **({PACKING_EFFICIENCY.name: result.num_tokens / capacity} if capacity else {}),
        }
