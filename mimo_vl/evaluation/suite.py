"""Run the suite: (model, task, decoding) units spread over worker processes; each writes one results file.

Workers are forked from a process that has imported torch but run nothing with it, so they start at once, share its
memory, and each computes with its own threads. A unit's result does not depend on which worker runs it or when.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from multiprocessing.synchronize import Event
from pathlib import Path

from mimo_vl.data.record import Record
from mimo_vl.evaluation.infer import InferPlan, ModelUnderTest, infer
from mimo_vl.evaluation.response_log import ResponseLog
from mimo_vl.evaluation.score import score_responses, write_results
from mimo_vl.evaluation.task import EvalItem, InferPass, Scorers, TaskSpec
from mimo_vl.forked import end_with_parent
from mimo_vl.schema.sample import MediaRef

# How soon a stop request, or the end of the parent, is noticed.
_POLL_S = 0.5


@dataclass(frozen=True, kw_only=True)
class Unit:
    """`pass_` is the folder of its results: `results` (greedy) or `sampled`."""

    model: str
    task: TaskSpec
    pass_: InferPass

    @property
    def path(self) -> Path:
        return Path(self.pass_.folder) / self.model / f"{self.task.family}.jsonl"


@dataclass(kw_only=True)
class Bench:
    """What a worker needs to run any unit; models and datasets are opened once and kept."""

    load_model: Callable[[str], ModelUnderTest]
    load_dataset: Callable[[str], Sequence[Record]]
    sent_size: Callable[[MediaRef], tuple[int, int]]
    scorers: Scorers
    log_dir: Path
    out_dir: Path
    max_new_tokens: int
    batch_size: int
    seed: int
    should_stop: Callable[[], bool] = lambda: False
    _models: dict[str, ModelUnderTest] = field(default_factory=dict)
    _datasets: dict[str, Sequence[Record]] = field(default_factory=dict)

    def run(self, unit: Unit) -> None:
        """Infer what is missing, score, write the results file."""
        if unit.model not in self._models:
            self._models[unit.model] = self.load_model(unit.model)
        records = self.records(unit.task)
        plan = InferPlan(
            task=unit.task,
            decoding=unit.pass_.decoding,
            max_new_tokens=self.max_new_tokens,
            batch_size=self.batch_size,
            seed=self.seed,
        )
        log = ResponseLog(self.log_dir / unit.path)
        responses = infer(self._models[unit.model], plan, records, log, self.should_stop)
        results = score_responses(unit.task, [self.item(r) for r in records], responses, self.scorers)
        write_results(self.out_dir / unit.path, results)

    def records(self, task: TaskSpec) -> Sequence[Record]:
        if task.dataset not in self._datasets:
            self._datasets[task.dataset] = self.load_dataset(task.dataset)
        return self._datasets[task.dataset]

    def item(self, record: Record) -> EvalItem:
        return EvalItem(sample=record.sample, sent_sizes=tuple(map(self.sent_size, record.sample.media)))


def run_units(
    bench: Bench,
    units: Sequence[Unit],
    *,
    num_workers: int,
    start_worker: Callable[[], None] = lambda: None,
    on_done: Callable[[int, int], None] = lambda _done, _total: None,
) -> None:
    """Longest units first. One worker runs in this process; more are forked, and `start_worker` runs first in each.

    Raises:
        InterruptedAfterSaveError: `bench.should_stop` turned true; every answer so far is in the logs.
    """
    ordered = sorted(units, key=lambda u: (-_cost(bench, u), u.path))
    if num_workers == 1:
        start_worker()
        for done, unit in enumerate(ordered, start=1):
            bench.run(unit)
            on_done(done, len(ordered))
        return
    context = multiprocessing.get_context("fork")
    stop = context.Event()
    start = (bench, stop, os.getpid(), start_worker)
    with ProcessPoolExecutor(num_workers, context, initializer=_enter_worker, initargs=start) as pool:
        pending = {pool.submit(_run_in_worker, unit) for unit in ordered}
        try:
            while pending:
                if bench.should_stop():
                    stop.set()
                finished, pending = wait(pending, timeout=_POLL_S, return_when=FIRST_COMPLETED)
                for future in finished:
                    future.result()
                if finished:
                    on_done(len(ordered) - len(pending), len(ordered))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _cost(bench: Bench, unit: Unit) -> int:
    return len(bench.records(unit.task)) * unit.pass_.decoding.num_samples


# What a forked worker inherited.
_bench: Bench | None = None


def _enter_worker(bench: Bench, stop: Event, parent_pid: int, start_worker: Callable[[], None]) -> None:
    global _bench
    _bench = bench
    bench.should_stop = stop.is_set
    end_with_parent(parent_pid)
    start_worker()


def _run_in_worker(unit: Unit) -> None:
    assert _bench is not None
    _bench.run(unit)
