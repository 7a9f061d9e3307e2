"""How are two ways of doing the same thing compared fairly on one machine?

Interleaved (A, B, A, B, ...), after one warm-up each, median of at least five, same threads, seed and inputs, results
compared in the same run.
"""

from __future__ import annotations

import gc
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil

NUM_REPEATS = 5
_SAMPLE_EVERY_S = 0.005


@dataclass(frozen=True, kw_only=True)
class BenchRow:
    """One line of the table. `ratio` > 1 means ours is better.

    limit: the ratio that is promised, None where a figure is only published. `equal`: both gave the same result.
    """

    name: str
    ours: float
    baseline: float
    unit: str
    ratio: float
    equal: bool
    note: str
    limit: float | None = None


def faster(name: str, times_s: tuple[float, float], *, equal: bool, note: str, limit: float | None = None) -> BenchRow:
    """A row from the median seconds of (ours, baseline): less is better."""
    ours, baseline = times_s
    return BenchRow(
        name=name, ours=ours, baseline=baseline, unit="s", ratio=baseline / ours, equal=equal, note=note, limit=limit
    )


def interleaved_medians(
    ours: Callable[[], object], baseline: Callable[[], object], num_repeats: int = NUM_REPEATS
) -> tuple[float, float]:
    """Median seconds of (ours, baseline)."""
    times: tuple[list[float], list[float]] = ([], [])
    for function in (ours, baseline):
        function()
    for _ in range(num_repeats):
        for function, measured in zip((ours, baseline), times, strict=True):
            gc.collect()
            start = time.perf_counter()
            function()
            measured.append(time.perf_counter() - start)
    return statistics.median(times[0]), statistics.median(times[1])


def peak_extra_bytes(function: Callable[[], object]) -> int:
    """Largest growth of this process's resident size while `function` runs, sampled every 5 ms."""
    gc.collect()
    process = psutil.Process()
    before = peak = process.memory_info().rss
    done = threading.Event()

    def sample() -> None:
        nonlocal peak
        while not done.wait(_SAMPLE_EVERY_S):
            peak = max(peak, process.memory_info().rss)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        function()
    finally:
        done.set()
        thread.join()
    return peak - before
