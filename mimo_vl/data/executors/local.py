"""How shard tasks run on one machine: in this process or in a few worker processes; results keep their order."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def run_tasks(function: Callable[[T], R], tasks: Sequence[T], *, num_workers: int) -> Iterator[R]:
    """Results in order, as soon as each is ready. `function` and tasks must be picklable when num_workers > 1.

    The first error ends the run; finished shards keep their markers, so the next run goes on from there.
    """
    if num_workers <= 1 or len(tasks) <= 1:
        yield from map(function, tasks)
        return
    # spawn: workers inherit neither threads nor locks.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(num_workers, len(tasks)), mp_context=context) as pool:
        futures = [pool.submit(function, task) for task in tasks]
        try:
            for future in futures:
                yield future.result()
        finally:
            for future in futures:
                future.cancel()
