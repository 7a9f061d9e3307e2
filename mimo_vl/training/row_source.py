"""Packed rows of the pre-training mixture as micro-batches: the row plan, made real for one rank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mimo_vl.data.plan import Row, RowPlan
from mimo_vl.data.readers.indexed import IndexedDataset
from mimo_vl.processing.encode import SampleEncoder
from mimo_vl.processing.packed_row import PackedRow, pack_row
from mimo_vl.training.micro_batch import MicroBatch, attended_pairs
from mimo_vl.training.world import World


class RowSource:
    """A BatchSource over indexed datasets; `rows_per_micro_batch` planned rows are laid end to end in one forward."""

    def __init__(
        self,
        plan: RowPlan,
        datasets: Mapping[str, IndexedDataset],
        encoder: SampleEncoder,
        *,
        rows_per_micro_batch: int,
        world: World,
    ) -> None:
        self._plan = plan
        self._datasets = datasets
        self._encoder = encoder
        self._rows_per_micro_batch = rows_per_micro_batch
        self._world = world

    @property
    def groups(self) -> tuple[str, ...]:
        return tuple(sorted(self._datasets))

    def micro_batches(self, step: int) -> list[MicroBatch]:
        planned = self._plan.rank_rows(step, self._world.rank, self._world.size)
        rows = [materialise_row(row, self._datasets, self._encoder) for row in planned]
        size = self._rows_per_micro_batch
        return [micro_batch_of(merge_rows(rows[i : i + size])) for i in range(0, len(rows), size)]


def materialise_row(row: Row, datasets: Mapping[str, IndexedDataset], encoder: SampleEncoder) -> PackedRow:
    """Read, encode and concatenate.

    Raises:
        CorruptDataError: names the sample.
    """
    samples = []
    for ref in row:
        record = datasets[ref.data_type][ref.index]
        samples.append(encoder.encode(record.sample, record.media))
    return pack_row(samples)


def micro_batch_of(row: PackedRow) -> MicroBatch:
    """Count the targets of each sample of the row."""
    starts = row.cu_seqlens_S1[:-1]
    return MicroBatch(
        payload=row,
        sample_ids_S=row.sample_ids,
        groups_S=row.data_types,
        num_targets_S=tuple(np.add.reduceat(row.supervised_T.astype(np.int64), starts).tolist()),
        num_tokens=len(row.input_ids_T),
        num_pairs=attended_pairs(row),
        num_patches=len(row.patches_PC),
    )


def merge_rows(rows: Sequence[PackedRow]) -> PackedRow:
    """Lay packed rows end to end: segments stay apart, so the result is the same as for the rows one by one.

    Raises:
        ValueError: a row with shared prompts, which training data never has.
    """
    if len(rows) == 1:
        return rows[0]
    if any(row.prefix_S for row in rows):
        raise ValueError("merge_rows() got a row with shared prompts; pack all answers by one pack_answers() instead")
    ends = np.cumsum([0, *(len(row.input_ids_T) for row in rows[:-1])])
    shifted = [row.cu_seqlens_S1[1:] + end for row, end in zip(rows, ends, strict=True)]
    return PackedRow(
        sample_ids=tuple(i for row in rows for i in row.sample_ids),
        data_types=tuple(t for row in rows for t in row.data_types),
        input_ids_T=np.concatenate([row.input_ids_T for row in rows]),
        supervised_T=np.concatenate([row.supervised_T for row in rows]),
        mm_types_T=np.concatenate([row.mm_types_T for row in rows]),
        positions_3T=np.concatenate([row.positions_3T for row in rows], axis=1),
        cu_seqlens_S1=np.concatenate([[0], *shifted]).astype(np.int64),
        patches_PC=np.concatenate([row.patches_PC for row in rows]),
        grid_thw_N3=np.concatenate([row.grid_thw_N3 for row in rows]),
    )
