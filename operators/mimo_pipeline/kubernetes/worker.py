"""Works keys off: N tasks, one key at a time, each round in a thread; errors back off and harm no other key."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from operators.mimo_pipeline.kubernetes.cluster import ApiError
from operators.mimo_pipeline.kubernetes.schedule import Schedule
from operators.mimo_pipeline.operator_metrics import OperatorMetrics

logger = logging.getLogger(__name__)

# Longest sleep of an idle worker; shorter ones end when a key is added.
_IDLE_S = 5.0


class Key(NamedTuple):
    namespace: str
    name: str


@dataclass(kw_only=True)
class Workers:
    """`round` is blocking: seconds until the next look, or None."""

    round: Callable[[str, str], float | None]
    metrics: OperatorMetrics
    clock: Callable[[], float] = time.monotonic
    num_workers: int = 4
    schedule: Schedule[Key] = field(default_factory=Schedule)
    beats_s: dict[int, float] = field(default_factory=dict)
    """Worker -> when it last did something, or started the round that it is in."""

    def __post_init__(self) -> None:
        self._changed = asyncio.Event()

    def add(self, namespace: str, name: str) -> None:
        """Something happened to this pipeline. Call it on the event loop."""
        self.schedule.add(Key(namespace, name), self.clock())
        self._changed.set()

    async def run(self) -> None:
        """Until cancelled. A worker that dies takes the others with it: half an operator helps nobody."""
        async with asyncio.TaskGroup() as group:
            for number in range(self.num_workers):
                group.create_task(self._work(number), name=f"worker-{number}")

    async def _work(self, number: int) -> None:
        while True:
            self.beats_s[number] = self.clock()
            key = self.schedule.take(self.clock())
            self.metrics.queue_length.set(len(self.schedule))
            if key is None:
                await self._wait()
            else:
                await self.work_off(key)

    async def _wait(self) -> None:
        due_s = self.schedule.next_due_s()
        timeout_s = _IDLE_S if due_s is None else min(_IDLE_S, max(0.0, due_s - self.clock()))
        self._changed.clear()
        try:
            await asyncio.wait_for(self._changed.wait(), timeout_s)
        except TimeoutError:
            return

    async def work_off(self, key: Key) -> None:
        """One round for one key."""
        started_s = self.clock()
        try:
            again_in_s = await asyncio.to_thread(self.round, key.namespace, key.name)
        except ApiError as error:
            if error.is_conflict:
                # Somebody wrote the pipeline meanwhile: look again at once.
                self.metrics.conflicts.inc()
                self.schedule.done(key, self.clock(), again_in_s=0.0)
            else:
                self._failed(key, error)
        except Exception as error:  # noqa: BLE001 - stated below
            # Whatever goes wrong in one pipeline must not stop the others.
            self._failed(key, error)
        else:
            self.schedule.done(key, self.clock(), again_in_s)
            self._changed.set()
        self.metrics.reconciles.inc()
        self.metrics.duration.observe(self.clock() - started_s)

    def _failed(self, key: Key, error: Exception) -> None:
        delay_s = self.schedule.failed(key, self.clock())
        self.metrics.errors.labels(kind=type(error).__name__).inc()
        known = isinstance(error, ApiError | OSError) or type(error).__module__.startswith("mimo_vl")
        logger.error(
            "pipeline=%s/%s failed, again in %.0f s: %s", *key, delay_s, error, exc_info=None if known else error
        )


async def resync(workers: Workers, keys: Callable[[], Iterable[Key]], every_s: float) -> None:
    """Every pipeline again and again: what a lost event would have told is found here."""
    while True:
        try:
            for key in await asyncio.to_thread(lambda: list(keys())):
                workers.add(*key)
        except ApiError as error:
            logger.warning("resync failed: %s", error)
            await asyncio.sleep(min(every_s, _IDLE_S))
            continue
        await asyncio.sleep(every_s)
