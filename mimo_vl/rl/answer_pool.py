"""Sampled answers to the prompts of datasets, by one process or by several forked ones, always in order.

A job is a run of prompts small enough to show progress and large enough to fill the engine's batches; what a job
answers depends on the job alone, so the number of processes changes only the time.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mimo_vl.data.readers.indexed import IndexedDataset
from mimo_vl.forked import end_with_parent
from mimo_vl.inference.engine import Engine
from mimo_vl.processing.encode import SampleEncoder
from mimo_vl.schema.rollout import SamplingParams

# Prompts of a job.
_JOB_SIZE = 96

Answers = list[list[str]]


@dataclass(frozen=True, kw_only=True)
class Job:
    model: str
    dataset: Path
    start: int
    end: int
    params: SamplingParams


@dataclass(frozen=True, kw_only=True)
class Answerer:
    """`load_engines`: by the name of the model; called when a process first needs it."""

    load_engines: Mapping[str, Callable[[], Engine]]
    encoder: SampleEncoder
    _engines: dict[str, Engine] = field(default_factory=dict)

    def answer(self, job: Job) -> Answers:
        """Texts per prompt."""
        if job.model not in self._engines:
            self._engines[job.model] = self.load_engines[job.model]()
        dataset = IndexedDataset(job.dataset)
        records = [dataset[i] for i in range(job.start, job.end)]
        prompts = [self.encoder.encode_prompt(r.sample, r.media) for r in records]
        return [[c.text for c in group] for group in self._engines[job.model].generate(prompts, job.params)]


class AnswerPool:
    """Where jobs are answered. Many datasets may be submitted at once; their answers come as they are asked for."""

    def __init__(self, run: Callable[[Job], Callable[[], Answers]]) -> None:
        """`run` starts a job, at once or when its answers are asked for, and returns how to get them."""
        self._run = run

    def submit(self, model: str, dataset: Path, params: SamplingParams) -> Iterator[Answers]:
        """The answers of one job after the other, in the dataset's order."""
        size = len(IndexedDataset(dataset))
        jobs = [
            Job(model=model, dataset=dataset, start=start, end=min(start + _JOB_SIZE, size), params=params)
            for start in range(0, size, _JOB_SIZE)
        ]
        results = [self._run(job) for job in jobs]
        return (result() for result in results)


@contextmanager
def answer_pool(
    answerer: Answerer, *, num_workers: int, start_worker: Callable[[], None] = lambda: None
) -> Iterator[AnswerPool]:
    """One worker is this process; more are forked, and `start_worker` runs first in each.

    Leaving it by an exception drops the jobs that have not begun.
    """
    if num_workers == 1:
        start_worker()
        yield AnswerPool(lambda job: lambda: answerer.answer(job))
        return
    context = multiprocessing.get_context("fork")
    start = (answerer, os.getpid(), start_worker)
    with ProcessPoolExecutor(num_workers, context, initializer=_enter_worker, initargs=start) as pool:

        def run(job: Job) -> Callable[[], Answers]:
            future: Future[Answers] = pool.submit(_answer, job)
            return future.result

        try:
            yield AnswerPool(run)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


# What a forked worker inherited.
_answerer: Answerer | None = None


def _enter_worker(answerer: Answerer, parent_pid: int, start_worker: Callable[[], None]) -> None:
    global _answerer
    _answerer = answerer
    end_with_parent(parent_pid)
    start_worker()


def _answer(job: Job) -> Answers:
    assert _answerer is not None
    return _answerer.answer(job)
