"""How much CPU does a process spend on loading what a model needs? With `mimo_vl.model.upstream`, and without it.

Each start is a process of its own. `equal`: both get the same class of the same transformers.
"""

from __future__ import annotations

import statistics
import subprocess
import sys

from benchmarks.common import NUM_REPEATS, BenchRow, faster

_CLASS = "Qwen2_5_VLForConditionalGeneration"
_STARTS = (f"from mimo_vl.model.upstream import {_CLASS}", f"from transformers import {_CLASS}")
_MEASURED = "import time; {}; print(time.process_time(), {}.__module__)"


def run() -> list[BenchRow]:
    found: tuple[list[tuple[float, str]], ...] = ([], [])
    # The first of each fills the page cache.
    for _ in range(NUM_REPEATS + 1):
        for start, seen in zip(_STARTS, found, strict=True):
            seen.append(_start(start))
    ours, baseline = (statistics.median(cpu_s for cpu_s, _ in seen[1:]) for seen in found)
    equal = len({module for seen in found for _, module in seen}) == 1
    note = "CPU time of a process that loads torch and the model's code"
    return [faster("start of a process with a model", (ours, baseline), equal=equal, note=note)]


def _start(code: str) -> tuple[float, str]:
    """CPU seconds, and the module of the class."""
    command = [sys.executable, "-c", _MEASURED.format(code, _CLASS)]
    cpu_s, module = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-2:]
    return float(cpu_s), module
