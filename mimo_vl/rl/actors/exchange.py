"""The mailbox between the driver and the trainer workers: numbered commands one way, one reply per worker back.

The driver waits for replies, workers for commands; neither holds a handle of the other. One command is open at a
time, which bounds the queue, until every rank has answered, so that a slow one misses none. An error of any rank
answers at once, since the others may wait for that rank in a collective. Every wait ends after `timeout_s` with None,
and the waiter decides what that means.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Literal

from mimo_vl.schema.rollout import ScoredGroup


@dataclass(frozen=True, kw_only=True)
class Command:
    """update: step, groups. save: step. weights, export, stop: nothing."""

    kind: Literal["update", "weights", "save", "export", "stop"]
    step: int = 0
    groups: tuple[ScoredGroup, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Reply:
    """`value` by kind of command: metrics, (version, [weights reference]), files, nothing. That of rank 0 counts.

    `error`: what the worker raised.
    """

    value: Any = None
    error: Exception | None = None


class Exchange:
    """Runs as an async actor."""

    def __init__(self, num_workers: int) -> None:
        self._num_workers = num_workers
        self._number = 0
        self._command: Command | None = None
        self._replies: dict[int, Reply] = {}
        self._changed = asyncio.Condition()

    async def send(self, command: Command) -> int:
        """Put the next command; the one before it must have been answered. Returns its number."""
        async with self._changed:
            if self._command is not None and self._outcome() is None:
                raise RuntimeError(f"command {self._number} has no reply yet; one command is open at a time")
            self._number += 1
            self._command, self._replies = command, {}
            self._changed.notify_all()
            return self._number

    async def command(self, number: int, timeout_s: float) -> Command | None:
        """Command `number`; None if it has not come within the time."""
        return self._command if await self._wait(lambda: self._number >= number, timeout_s) else None

    async def answer(self, number: int, rank: int, reply: Reply) -> None:
        async with self._changed:
            if number != self._number:
                raise RuntimeError(f"rank {rank} replies to command {number}, but {self._number} is open")
            self._replies[rank] = reply
            self._changed.notify_all()

    async def reply(self, number: int, timeout_s: float) -> Reply | None:
        """The first error of a rank, or the reply of rank 0 when all have answered; None if not within the time."""
        is_there = await self._wait(lambda: self._number == number and self._outcome() is not None, timeout_s)
        return self._outcome() if is_there else None

    def _outcome(self) -> Reply | None:
        for reply in self._replies.values():
            if reply.error is not None:
                return reply
        return self._replies[0] if len(self._replies) == self._num_workers else None

    async def _wait(self, condition: Any, timeout_s: float) -> bool:
        async with self._changed:
            try:
                await asyncio.wait_for(self._changed.wait_for(condition), timeout_s)
            except TimeoutError:
                return False
            return True
