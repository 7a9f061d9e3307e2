"""Mixed on-policy RL, the loop over steps (report 3.3).

    task mixture -> prompts -> engines -> completions -> reward service -> rewards -> group filter
                                  ^                                                        |
                                  |                                        batch: exactly B valid groups
                 weights, version v + 1 <- policy update (one step, on-policy GRPO) <------+

Step v: collect the batch under weights v (rollout.py; synchronous waves), check that every completion carries version
v, one policy update, push weights v + 1 to every engine, write the step's metrics, checkpoint when due.

Who runs where: the driver, the rollout workers and the trainer workers are processes of their own and do not know each
other. The driver talks to them through the two protocols below (Ray: actors.py; one process: tests), and to the reward
service over HTTP. The asynchronous scheduler of seamless rollout will take the collector's place, nothing else.

What makes a step repeatable: prompts come in a fixed order, prompts are mapped to engines by index, every random number
is a function of (seed, step, prompt, sample), and only selected groups change the lasting state.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from mimo_vl.config.rl import RlConfig
from mimo_vl.errors import InterruptedAfterSaveError
from mimo_vl.observability import metrics as names
from mimo_vl.rl.checkpoint import DriverState, RunLog, write_state
from mimo_vl.rl.rollout import RolloutBatch, RolloutCollector
from mimo_vl.rl.update_metrics import UpdateMetrics, step_metrics
from mimo_vl.rl.weight_version import require_next
from mimo_vl.schema.manifest import FileEntry
from mimo_vl.schema.rollout import ScoredGroup

logger = logging.getLogger(__name__)


class TrainerLink(Protocol):
    """The trainer workers as one."""

    def update(self, step: int, groups: tuple[ScoredGroup, ...]) -> UpdateMetrics: ...

    def push_weights(self) -> int:
        """Send the current weights to every rollout engine; returns their version when all engines have them."""

    def save(self, step: int) -> tuple[FileEntry, ...]:
        """Write the policy into the checkpoint of this step; returns its files, by path in the checkpoint."""


class StageLink(Protocol):
    """What the driver tells the process around it."""

    def checkpoint_folder(self, step: int) -> Path:
        """A new, empty folder of this node for the driver's part."""

    def seal_checkpoint(self, step: int, files: tuple[FileEntry, ...]) -> None:
        """Declare folder and `files` of the trainer complete; nothing is written into the checkpoint afterwards."""

    def report(self, step: int, metrics: Mapping[str, float]) -> None: ...

    def should_stop(self) -> bool: ...


class MorlDriver:
    """Runs steps until `num_steps`. All waiting is inside collector and trainer link, each wait with its deadline."""

    def __init__(
        self,
        config: RlConfig,
        *,
        collector: RolloutCollector,
        trainer: TrainerLink,
        stage: StageLink,
        log: RunLog,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._collector = collector
        self._trainer = trainer
        self._stage = stage
        self._log = log
        self._clock = clock

    def run(self, state: DriverState) -> dict[str, float]:
        """Go on after `state.step` complete steps. Returns the last step's metrics.

        Raises:
            InterruptedAfterSaveError: asked to stop; a checkpoint of the last complete step exists.
        """
        metrics: dict[str, float] = {}
        if self._stage.should_stop():
            raise InterruptedAfterSaveError(f"stopped before step {state.step + 1}; nothing new to save")
        for step in range(state.step, self._config.num_steps):
            state, metrics = self._step(state, step)
            should_stop = self._stage.should_stop() and state.step < self._config.num_steps
            if should_stop or state.step % self._config.checkpoint.every_steps == 0:
                self._save(state)
            if should_stop:
                raise InterruptedAfterSaveError(f"stopped after step {state.step} of {self._config.num_steps}; saved")
        return metrics

    def _step(self, state: DriverState, step: int) -> tuple[DriverState, dict[str, float]]:
        started = self._clock()
        batch = self._collector.collect(state.rollout, step=step, weight_version=step)
        collected = self._clock()
        update = self._trainer.update(step, batch.groups)
        require_next(step, self._trainer.push_weights())
        metrics = step_metrics(batch, update)
        self._alarm(step, metrics)
        self._log.write_step(step, metrics, _logged_groups(batch, self._config.log_rollouts))
        times = {
            names.ROLLOUT_TIME.name: collected - started,
            names.UPDATE_TIME.name: self._clock() - collected,
        }
        tokens = {names.TOKENS.name: float(self._log.num_answer_tokens)}
        self._stage.report(step + 1, {**metrics, **times, **tokens})
        return DriverState(step=step + 1, rollout=batch.state), metrics

    def _alarm(self, step: int, metrics: Mapping[str, float]) -> None:
        gap = metrics[names.LOGPROB_GAP.name]
        if gap > self._config.logprob_mismatch_alarm:
            logger.warning(
                "log-prob mismatch step=%d mean=%.4f alarm=%.4f: trainer and engine disagree on the same tokens, so "
                "the update is not on-policy",
                step,
                gap,
                self._config.logprob_mismatch_alarm,
            )

    def _save(self, state: DriverState) -> None:
        folder = self._stage.checkpoint_folder(state.step)
        files = self._trainer.save(state.step)
        write_state(folder, state)
        self._log.copy_to(folder)
        self._stage.seal_checkpoint(state.step, files)


def _logged_groups(batch: RolloutBatch, count: int) -> list[ScoredGroup]:
    """The first group of each family, then the second ones, until there are `count`."""
    by_rank: list[tuple[int, int, ScoredGroup]] = []
    seen: dict[str, int] = {}
    for order, group in enumerate(batch.groups):
        rank = seen.get(group.family, 0)
        seen[group.family] = rank + 1
        by_rank.append((rank, order, group))
    return [group for _, _, group in sorted(by_rank, key=lambda item: item[:2])[:count]]
