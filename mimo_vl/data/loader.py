"""How planned rows become arrays in time: a thread reads, encodes and packs a few steps ahead of the trainer."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mimo_vl.data.plan import Row, RowPlan
from mimo_vl.data.readers.indexed import IndexedDataset
from mimo_vl.processing.encode import SampleEncoder
from mimo_vl.processing.packed_row import PackedRow, pack_row

# The worker looks this often whether it should stop while the queue is full.
_PUT_TIMEOUT_S = 0.2


@dataclass(frozen=True, kw_only=True)
class StepRows:
    """This rank's rows of one optimizer step. `wait_s`: how long the trainer waited for them."""

    step: int
    rows: tuple[PackedRow, ...]
    wait_s: float


def materialise_row(row: Row, datasets: Mapping[str, IndexedDataset], encoder: SampleEncoder) -> PackedRow:
    """Read, encode and concatenate. Errors name the sample."""
    samples = []
    for ref in row:
        record = datasets[ref.data_type][ref.index]
        samples.append(encoder.encode(record.sample, record.media))
    return pack_row(samples)


class RowLoader:
    """Iterate once over the steps [start_step, stop_step). Use as a context manager: leaving it ends the thread."""

    def __init__(
        self,
        plan: RowPlan,
        datasets: Mapping[str, IndexedDataset],
        encoder: SampleEncoder,
        *,
        rank: int,
        world_size: int,
        start_step: int,
        stop_step: int,
        prefetch_steps: int = 2,
    ) -> None:
        self._plan, self._datasets, self._encoder = plan, datasets, encoder
        self._rank, self._world_size = rank, world_size
        self._steps = range(start_step, stop_step)
        # Fail in the caller, before any thread, when the ranks cannot share the rows.
        plan.rank_rows(start_step, rank, world_size)
        self._queue: queue.Queue[tuple[PackedRow, ...] | BaseException] = queue.Queue(maxsize=prefetch_steps)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="row-loader", daemon=True)

    def __enter__(self) -> RowLoader:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def __iter__(self) -> Iterator[StepRows]:
        for step in self._steps:
            started = time.perf_counter()
            item = self._queue.get()
            if isinstance(item, BaseException):
                raise item
            yield StepRows(step=step, rows=item, wait_s=time.perf_counter() - started)

    def _work(self) -> None:
        for step in self._steps:
            item: tuple[PackedRow, ...] | BaseException
            try:
                rows = self._plan.rank_rows(step, self._rank, self._world_size)
                item = tuple(materialise_row(row, self._datasets, self._encoder) for row in rows)
            # Whatever happens here is raised in the trainer's thread.
            except Exception as error:  # noqa: BLE001
                item = error
            if not self._put(item) or isinstance(item, BaseException):
                return

    def _put(self, item: tuple[PackedRow, ...] | BaseException) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=_PUT_TIMEOUT_S)
                return True
            except queue.Full:
                continue
        return False
