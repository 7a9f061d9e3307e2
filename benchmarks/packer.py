"""Our packing plan against TRL's best-fit-decreasing packer: fill and sequences per second.

Workload of 100,000 lengths: 60 / 25 / 15 % log-normal(6.2, .5) / (7.4, .6) / (8.2, .5), clipped to 32 .. 8,192; rows of
8,192. TRL packs an Arrow table of token lists and so also copies the tokens; its time on 10,000 of the same lengths is
shown per sequence. `equal`: every sequence is in exactly one row and no row exceeds its capacity.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from benchmarks.common import BenchRow, interleaved_medians
from mimo_vl.data.packing import efficiency, pack

NUM_LENGTHS, NUM_BASELINE, CAPACITY = 100_000, 10_000, 8192
NO_PATCHES = 0
SPEED_LIMIT, FILL_LIMIT = 5.0, 0.999


def run() -> list[BenchRow]:
    import datasets
    import trl
    from trl.data_utils import pack_dataset

    lengths = _lengths()
    costs = np.stack([lengths, np.zeros_like(lengths)], axis=1)
    some = lengths[:NUM_BASELINE]
    table = datasets.Dataset.from_dict({"input_ids": [np.zeros(n, dtype=np.int32) for n in some]}).with_format("arrow")
    datasets.disable_progress_bars()

    def baseline() -> int:
        return len(pack_dataset(table, CAPACITY, strategy="bfd", map_kwargs={"keep_in_memory": True}))

    times = interleaved_medians(lambda: pack(costs, CAPACITY, NO_PATCHES), baseline)
    bins = pack(costs, CAPACITY, NO_PATCHES)
    fill, their_fill = efficiency(bins, costs, CAPACITY), some.sum() / (baseline() * CAPACITY)
    is_valid = sorted(i for b in bins for i in b) == list(range(NUM_LENGTHS)) and all(
        lengths[b].sum() <= CAPACITY for b in bins
    )
    rates = (NUM_LENGTHS / times[0], NUM_BASELINE / times[1])
    note = f"{NUM_LENGTHS} lengths (TRL {trl.__version__}: {NUM_BASELINE}, and copies tokens), rows of {CAPACITY}"
    return [
        BenchRow(
            name="packing speed",
            ours=rates[0],
            baseline=rates[1],
            unit="sequences/s",
            ratio=rates[0] / rates[1],
            equal=is_valid,
            note=note,
            limit=SPEED_LIMIT,
        ),
        BenchRow(
            name="packing fill",
            ours=fill,
            baseline=float(their_fill),
            unit="share of row",
            ratio=fill / float(their_fill),
            # The promise is a fill, not a ratio: at its limit there is nothing left to win.
            equal=is_valid and fill >= FILL_LIMIT,
            note=note + f"; promised fill {FILL_LIMIT}",
        ),
    ]


def _lengths() -> npt.NDArray[np.int64]:
    rng = np.random.default_rng(0)
    shares = ((6.2, 0.5, 0.60), (7.4, 0.6, 0.25), (8.2, 0.5, 0.15))
    parts = [rng.lognormal(mean, sigma, round(share * NUM_LENGTHS)) for mean, sigma, share in shares]
    lengths = np.concatenate(parts).clip(32, CAPACITY).astype(np.int64)
    rng.shuffle(lengths)
    return lengths
