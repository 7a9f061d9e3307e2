"""The loop: rows of step k -> one update -> callbacks -> checkpoint when due. Everything that varies is passed in."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mimo_vl.config.training import CheckpointConfig, ScheduleConfig
from mimo_vl.errors import InterruptedAfterSaveError
from mimo_vl.training.callbacks.callback import Callback, StepReport
from mimo_vl.training.checkpoint import Seal, save_checkpoint
from mimo_vl.training.engine import TrainingEngine
from mimo_vl.training.micro_batch import BatchSource, MicroBatch
from mimo_vl.training.schedule import lr_factor
from mimo_vl.training.train_step import StepResult, train_step
from mimo_vl.training.world import World


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    num_steps: int
    schedule: ScheduleConfig
    checkpoint: CheckpointConfig
    checkpoint_folder: Path


class Trainer:
    """Runs updates `first_step` … `num_steps`; every rank runs the same.

    state: values for trainer.json, asked for at each save, by the number of steps done.
    should_stop: this rank was told to end; all ranks then save after the same step and raise.
    """

    def __init__(
        self,
        engine: TrainingEngine,
        source: BatchSource,
        config: LoopConfig,
        *,
        world: World,
        callbacks: Sequence[Callback],
        state: Callable[[int], dict[str, Any]],
        seal: Seal,
        should_stop: Callable[[], bool],
    ) -> None:
        self._engine = engine
        self._source = source
        self._config = config
        self._world = world
        self._callbacks = callbacks
        self._state = state
        self._seal = seal
        self._should_stop = should_stop

    def run(self, first_step: int = 0) -> None:
        """Train to the end.

        Raises:
            InterruptedAfterSaveError: stopped on request; the checkpoint is complete.
            NonFiniteLossError: see train_step; nothing is saved after it.
        """
        config = self._config
        # One step ahead, on a thread of its own: decoding and resizing overlap with the forward.
        with ThreadPoolExecutor(1, thread_name_prefix="rows") as pool:
            waiting = self._request(pool, first_step)
            for step in range(first_step, config.num_steps):
                started_s = time.monotonic()
                micro_batches = waiting.result()
                data_wait_s = time.monotonic() - started_s
                waiting = self._request(pool, step + 1)
                result = self._update(step, micro_batches)
                self._report(step + 1, result, micro_batches, time.monotonic() - started_s, data_wait_s)
                self._checkpoint(step + 1, result)

    def _request(self, pool: ThreadPoolExecutor, step: int) -> Future[list[MicroBatch]]:
        if step >= self._config.num_steps:
            return pool.submit(list)
        return pool.submit(self._source.micro_batches, step)

    def _update(self, step: int, micro_batches: Sequence[MicroBatch]) -> StepResult:
        self._engine.set_lr_factor(lr_factor(step, self._config.num_steps, self._config.schedule))
        return train_step(
            self._engine,
            micro_batches,
            step=step,
            groups=self._source.groups,
            world=self._world,
            should_stop=self._should_stop(),
        )

    def _report(
        self, step: int, result: StepResult, micro_batches: Sequence[MicroBatch], step_s: float, data_wait_s: float
    ) -> None:
        report = StepReport(
            step=step,
            num_steps=self._config.num_steps,
            result=result,
            learning_rates=self._engine.learning_rates(),
            step_s=step_s,
            data_wait_s=data_wait_s,
            rank_tokens=sum(m.num_tokens for m in micro_batches),
            rank_patches=sum(m.num_patches for m in micro_batches),
        )
        for callback in self._callbacks:
            callback.on_step_end(report)

    def _checkpoint(self, step: int, result: StepResult) -> None:
        is_last = step == self._config.num_steps
        is_due = step % self._config.checkpoint.every_steps == 0 and not is_last
        if is_due or (result.is_stop_requested and not is_last):
            save_checkpoint(
                self._engine,
                self._config.checkpoint_folder,
                step=step,
                values=self._state(step),
                world=self._world,
                seal=self._seal,
                keep=self._config.checkpoint.keep_last,
            )
            for callback in self._callbacks:
                callback.on_checkpoint(step)
        if result.is_stop_requested and not is_last:
            raise InterruptedAfterSaveError(f"stopped on request after step {step}; the checkpoint is complete")
