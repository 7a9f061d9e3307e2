"""Symbolic comparisons in worker processes that are killed at a deadline and replaced.

The processes are started afresh (no fork, no copy of the caller's memory, no torch), kept for many calls, and limited
in memory. Most answers never reach them: `judge_cheaply` decides, and verdicts are remembered per (gold, answer).
"""

from __future__ import annotations

import json
import logging
import queue
import select
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from types import TracebackType
from typing import Self

from mimo_vl.answers.mathematics import MathVerdict, judge_cheaply
from mimo_vl.rewards.math_worker import READY

logger = logging.getLogger(__name__)

# Loading sympy and the grammar takes about a second; a busy machine may need many.
START_TIMEOUT_S = 60.0
# Address space, not resident size: the interpreter with sympy maps about 0.5 GiB.
DEFAULT_MEMORY_BYTES = 2 * 1024**3
_MEMO_SIZE = 65_536


class _WorkerDiedError(Exception):
    pass


class _DeadlineError(Exception):
    pass


class _Worker:
    """One child process and its two pipes."""

    def __init__(self, deadline_s: float, memory_bytes: int) -> None:
        command = [sys.executable, "-m", "mimo_vl.rewards.math_worker", str(memory_bytes), str(deadline_s)]
        self._deadline_s = deadline_s
        # Unbuffered, so that select() sees all that is there.
        self.process = subprocess.Popen(
            command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        try:
            if self._read_line(START_TIMEOUT_S) != READY:
                raise _WorkerDiedError("the worker did not start")
        except (_DeadlineError, _WorkerDiedError):
            self.kill()
            raise

    def judge(self, gold: str, answer: str) -> MathVerdict:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps([gold, answer]).encode() + b"\n")
        except OSError as error:
            raise _WorkerDiedError(str(error)) from error
        return MathVerdict(self._read_line(self._deadline_s))

    def _read_line(self, timeout_s: float) -> str:
        assert self.process.stdout is not None
        end = time.monotonic() + timeout_s
        received = b""
        while not received.endswith(b"\n"):
            left_s = end - time.monotonic()
            if left_s <= 0 or not select.select([self.process.stdout], [], [], left_s)[0]:
                raise _DeadlineError
            chunk = self.process.stdout.read(64)
            if not chunk:
                raise _WorkerDiedError(f"exit code {self.process.poll()}")
            received += chunk
        return received.decode().strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


class MathPool:
    """A MathJudge. Thread-safe: up to `num_workers` comparisons at once, further callers wait for a free worker."""

    def __init__(
        self, *, num_workers: int = 1, deadline_s: float = 10.0, memory_bytes: int = DEFAULT_MEMORY_BYTES
    ) -> None:
        if num_workers < 1 or deadline_s <= 0:
            raise ValueError(
                f"num_workers is {num_workers} and deadline_s {deadline_s}; wanted at least 1 and more than 0"
            )
        self._deadline_s = deadline_s
        self._memory_bytes = memory_bytes
        # None = a slot whose worker is not running (never started, or killed).
        self._slots: queue.LifoQueue[_Worker | None] = queue.LifoQueue()
        self._num_workers = num_workers
        for _ in range(num_workers):
            self._slots.put(None)
        self._memo: OrderedDict[tuple[str, str], MathVerdict] = OrderedDict()
        self._lock = threading.Lock()
        self.num_symbolic_calls = 0
        self.num_restarts = 0

    def judge(self, gold: str, answer: str) -> MathVerdict:
        """Cheap checks first, then a worker."""
        verdict = judge_cheaply(gold, answer)
        return self.judge_in_worker(gold, answer) if verdict is None else verdict

    def judge_in_worker(self, gold: str, answer: str) -> MathVerdict:
        """Ask a worker process, or remember what one said. Time-outs are not remembered: the machine may be busy."""
        key = (gold, answer)
        with self._lock:
            if key in self._memo:
                self._memo.move_to_end(key)
                return self._memo[key]
        verdict = self._ask(gold, answer)
        if verdict is not MathVerdict.TIMEOUT:
            with self._lock:
                self._memo[key] = verdict
                if len(self._memo) > _MEMO_SIZE:
                    self._memo.popitem(last=False)
        return verdict

    def _ask(self, gold: str, answer: str) -> MathVerdict:
        """One retry when a worker dies: it may have been killed from outside; a second death is the answer's fault."""
        worker = self._slots.get()
        try:
            for _attempt in range(2):
                if worker is None:
                    worker = _Worker(self._deadline_s, self._memory_bytes)
                self.num_symbolic_calls += 1
                try:
                    return worker.judge(gold, answer)
                except _DeadlineError:
                    self._discard(worker, f"no verdict within {self._deadline_s} s", answer)
                    worker = None
                    break
                except _WorkerDiedError as error:
                    self._discard(worker, f"worker died ({error})", answer)
                    worker = None
            return MathVerdict.TIMEOUT
        finally:
            self._slots.put(worker)

    def _discard(self, worker: _Worker, reason: str, answer: str) -> None:
        logger.warning("math worker pid=%d killed: %s; answer=%.80r", worker.process.pid, reason, answer)
        worker.kill()
        self.num_restarts += 1

    def close(self) -> None:
        """Wait for comparisons in progress, then end all workers."""
        for _ in range(self._num_workers):
            worker = self._slots.get()
            if worker is not None:
                worker.kill()
        for _ in range(self._num_workers):
            self._slots.put(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
