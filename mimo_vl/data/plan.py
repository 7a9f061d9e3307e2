"""Which samples are in which row of which optimizer step? A pure function of seed and step, from lengths alone.

Slots of the mixture stream are spread over the rows of a few steps, each row a like mixture; what fits no row of its
window is carried over to the next one, as ids. The rows of a step are global: ranks only share them out, so another
number of ranks sees the same sample ids in every step.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mimo_vl.canonical import canonical_json
from mimo_vl.data.mixture import MixtureStream
from mimo_vl.data.packing import level, spread
from mimo_vl.errors import ConfigError

# Rows are packed together in windows of this many, or in one step's rows if these are more: enough to fill them. A
# window of 64 rows is planned in about 10 ms, one of 2,560 rows with 40,000 samples in about a second.
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
    """What precedes a window, in a few integers and ids. Plans replay it from the start: nobody has to save it."""

    window: int = 0
    next_slot: int = 0
    occurrences: tuple[int, ...] = ()
    carried: tuple[SampleRef, ...] = ()


class RowPlan:
    """`rows(step)` and `rank_rows(step, rank, world_size)`. Steps count from 0.

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
        self._states = [PlanState(occurrences=(0,) * len(self._stream.names))]
        self._cached: tuple[int, list[Row]] = (-1, [])

    def rows(self, step: int) -> list[Row]:
        """All rows of one optimizer step, over all ranks."""
        window, position = divmod(step, self._steps_per_window)
        start = position * self.rows_per_step
        return self._window_rows(window)[start : start + self.rows_per_step]

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
        window = step // self._steps_per_window
        self._window_rows(window)
        return self._states[window]

    def cost(self, ref: SampleRef) -> tuple[int, int]:
        tokens, patches = self._costs[ref.data_type][ref.index].tolist()
        return tokens, patches

    def digest(self) -> str:
        """Identifies the plan: two plans with the same digest give the same rows for ever."""
        facts = {
            "seed": self._seed,
            "capacity": self._capacity,
            "rows_per_step": self.rows_per_step,
            "edges": self._stream.types(0, 1024).tolist(),
            "costs": {n: hashlib.sha256(c.tobytes()).hexdigest() for n, c in self._costs.items()},
        }
        return hashlib.sha256(canonical_json(facts)).hexdigest()

    def _window_rows(self, window: int) -> list[Row]:
        if self._cached[0] != window:
            # States are remembered, rows are not: going back replays one window, going forward all in between.
            while len(self._states) <= window:
                self._states.append(self._plan(self._states[-1])[1])
            rows, after = self._plan(self._states[window])
            if len(self._states) == window + 1:
                self._states.append(after)
            self._cached = (window, rows)
        return self._cached[1]

    def _plan(self, state: PlanState) -> tuple[list[Row], PlanState]:
        """Draw for a few rows more than wanted and spread the samples over the wanted rows.

        Carried samples stand first in the pool, and so are among those that are dealt out: none waits for long.
        """
        wanted = self._steps_per_window * self.rows_per_step
        pool, state = self._draw(state, wanted + -(-wanted // _ROWS_PER_SPARE_ROW))
        bins, left_over = spread([self.cost(ref) for ref in pool], wanted, *self._capacity)
        rows = [tuple(pool[s] for s in sorted(samples)) for samples in bins]
        return rows, replace(state, window=state.window + 1, carried=tuple(pool[s] for s in left_over))

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
