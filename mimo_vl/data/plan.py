"""Which samples are in which row of which optimizer step? A pure function of seed and step, from lengths alone.

Slots of the mixture stream are spread over the rows of a few steps, each row a like mixture; what fits no row of its
window is carried over to the next one, as ids. The rows of a step are global: ranks only share them out, so another
number of ranks sees the same sample ids in every step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from mimo_vl.data.mixture import MixtureStream
from mimo_vl.data.packing import level, spread
from mimo_vl.errors import ConfigError

# Rows are packed together in windows of this many, or in one step's rows if these are more: enough to fill them. A
# window of 64 rows is planned in a few hundredths of a second, one of 2,560 rows with 40,000 samples in about one.
_ROWS_PER_WINDOW = 64
# For each so many rows, samples for one row more are drawn, so that there is something left to fill gaps with.
_ROWS_PER_SPARE_ROW = 64
_SLOTS_PER_DRAW = 64


@dataclass(frozen=True, order=True)
class SampleRef:
    """A sample of the training mixture: data type and index in its dataset."""

    data_type: str
    index: int


Row = tuple[SampleRef, ...]


@dataclass(frozen=True, kw_only=True)
class PlanState:
    """What precedes a window, in a few integers and ids: all that is needed to plan it without those before it."""

    window: int = 0
    next_slot: int = 0
    occurrences: tuple[int, ...] = ()
    carried: tuple[SampleRef, ...] = ()

    def to_values(self) -> dict[str, Any]:
        """For a checkpoint's JSON."""
        return asdict(self)

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> PlanState:
        carried = tuple(SampleRef(**ref) for ref in values["carried"])
        return cls(**{**values, "occurrences": tuple(values["occurrences"]), "carried": carried})


@dataclass(frozen=True, kw_only=True)
class _Window:
    """Rows, and the states before and after them."""

    before: PlanState
    rows: list[Row]
    after: PlanState


class RowPlan:
    """`rows(step)` and `rank_rows(step, rank, world_size)`. Steps count from 0; threads may share a plan.

    Going forward plans each window once, going back replays from the start; `continue_from` jumps to a saved state.

    costs: per data type [N, 2] tokens and patches, as IndexedDataset.costs() gives them.
    rows_per_step: ranks x accumulation steps x rows per micro batch of the *configuration*, whatever runs now.
    """

    def __init__(
        self,
        costs: Mapping[str, npt.NDArray[np.int64]],
        *,
        mixture: Mapping[str, float],
        seed: int,
        capacity_tokens: int,
        capacity_patches: int,
        rows_per_step: int,
    ) -> None:
        if rows_per_step < 1:
            raise ConfigError(f"rows per step: got {rows_per_step}, wanted at least 1 (ranks x accumulation x rows)")
        self._stream = MixtureStream({name: len(c) for name, c in costs.items()}, mixture, seed=seed)
        self._costs = {name: np.asarray(costs[name], dtype=np.int64) for name in self._stream.names}
        self._capacity = (capacity_tokens, capacity_patches)
        self._check_sizes()
        self._seed, self.rows_per_step = seed, rows_per_step
        self._steps_per_window = max(1, _ROWS_PER_WINDOW // rows_per_step)
        self._start = self._known = PlanState(occurrences=(0,) * len(self._stream.names))
        self._last: _Window | None = None
        self._lock = Lock()

    def rows(self, step: int) -> list[Row]:
        """All rows of one optimizer step, over all ranks."""
        window, position = divmod(step, self._steps_per_window)
        start = position * self.rows_per_step
        return self._window(window).rows[start : start + self.rows_per_step]

    def rank_rows(self, step: int, rank: int, world_size: int) -> list[Row]:
        """The rows that one rank processes, vision patches levelled across ranks.

        Raises:
            ConfigError: the rows of a step cannot be dealt evenly to this number of ranks.
        """
        if self.rows_per_step % world_size:
            raise ConfigError(
                f"parallelism.num_ranks: {world_size} ranks cannot share {self.rows_per_step} rows per step evenly; "
                "use a divisor of ranks x accumulation_steps x rows_per_micro_batch of the configuration"
            )
        rows = self.rows(step)
        loads = [int(sum(self.cost(ref)[1] for ref in row)) for row in rows]
        return [rows[i] for i in level(loads, world_size)[rank]]

    def state(self, step: int) -> PlanState:
        """What was drawn and carried over before the window that holds this step."""
        return self._window(step // self._steps_per_window).before

    def continue_from(self, state: PlanState) -> None:
        """Take over the state of another plan of the same samples, mixture, seed and rows."""
        with self._lock:
            self._known = state

    def cost(self, ref: SampleRef) -> tuple[int, int]:
        tokens, patches = self._costs[ref.data_type][ref.index].tolist()
        return tokens, patches

    def _window(self, number: int) -> _Window:
        with self._lock:
            if self._last is None or self._last.before.window != number:
                state = self._known if self._known.window <= number else self._start
                while state.window < number:
                    state = self._plan(state).after
                self._last = self._plan(state)
                self._known = self._last.after
            return self._last

    def _plan(self, before: PlanState) -> _Window:
        """Draw for a few rows more than wanted and spread the samples over the wanted rows.

        Carried samples stand first in the pool, and so are among those that are dealt out: none waits for long.
        """
        wanted = self._steps_per_window * self.rows_per_step
        pool, drawn = self._draw(before, wanted + -(-wanted // _ROWS_PER_SPARE_ROW))
        bins, left_over = spread([self.cost(ref) for ref in pool], wanted, *self._capacity)
        rows = [tuple(pool[s] for s in sorted(samples)) for samples in bins]
        after = replace(drawn, window=before.window + 1, carried=tuple(pool[s] for s in left_over))
        return _Window(before=before, rows=rows, after=after)

    def _draw(self, state: PlanState, num_rows: int) -> tuple[list[SampleRef], PlanState]:
        """Carried samples, then slots until one resource of `num_rows` rows is used up: they need at least as many."""
        pool = list(state.carried)
        occurrences = list(state.occurrences)
        used = np.array([self.cost(ref) for ref in pool], dtype=np.int64).reshape(-1, 2).sum(axis=0)
        goal = num_rows * np.array(self._capacity, dtype=np.int64)
        slot = state.next_slot
        while not (used >= goal).any():
            for type_number in self._stream.types(slot, _SLOTS_PER_DRAW).tolist():
                name = self._stream.names[type_number]
                ref = SampleRef(name, self._stream.sample(type_number, occurrences[type_number]))
                occurrences[type_number] += 1
                pool.append(ref)
                used = used + self._costs[name][ref.index]
            slot += _SLOTS_PER_DRAW
        return pool, replace(state, next_slot=slot, occurrences=tuple(occurrences))

    def _check_sizes(self) -> None:
        for name, costs in self._costs.items():
            over = np.flatnonzero((costs > np.array(self._capacity)).any(axis=1))
            if len(over):
                tokens, patches = costs[over[0]].tolist()
                raise ConfigError(
                    f"sequence_length {self._capacity[0]}, max_patches_per_row {self._capacity[1]}: {len(over)} of "
                    f"the {name} samples do not fit, first {tokens} tokens and {patches} patches; raise the limits"
                )
