"""Loss on a fixed held-out batch: loss_first before the first update, loss_last after the last one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from mimo_vl.data.packing import pack
from mimo_vl.data.plan import SampleRef
from mimo_vl.data.readers.indexed import IndexedDataset
from mimo_vl.processing.encode import SampleEncoder
from mimo_vl.training.engine import TrainingEngine
from mimo_vl.training.micro_batch import MicroBatch
from mimo_vl.training.row_source import materialise_row, micro_batch_of
from mimo_vl.training.world import World, sum_over_ranks


@dataclass(frozen=True)
class HeldoutBatch:
    """Equally many forwards on every rank (sharded weights are gathered in step); the first `num_weighted` count."""

    micro_batches: Sequence[MicroBatch]
    num_weighted: int


def heldout_quota(mixture: Mapping[str, float], sizes: Mapping[str, int], num_samples: int) -> dict[str, int]:
    """Samples per type: by weight (largest remainder), at least one each, never more than there are."""
    names = sorted(name for name, weight in mixture.items() if weight > 0)
    total = sum(mixture[name] for name in names)
    exact = {name: num_samples * mixture[name] / total for name in names}
    quota = {name: int(exact[name]) for name in names}
    missing = num_samples - sum(quota.values())
    for name in sorted(names, key=lambda n: (quota[n] - exact[n], n))[:missing]:
        quota[name] += 1
    return {name: min(max(1, quota[name]), sizes[name]) for name in names}


def build_heldout_batch(
    datasets: Mapping[str, IndexedDataset],
    encoder: SampleEncoder,
    *,
    mixture: Mapping[str, float],
    num_samples: int,
    capacity: tuple[int, int],
    world: World,
) -> HeldoutBatch:
    """This rank's share of the batch: the first samples of each type, packed."""
    quota = heldout_quota(mixture, {name: len(d) for name, d in datasets.items()}, num_samples)
    refs = [SampleRef(name, index) for name in sorted(quota) for index in range(quota[name])]
    costs = [datasets[ref.data_type].cost(ref.index) for ref in refs]
    bins = pack(costs, *capacity)
    rounds = -(-len(bins) // world.size)
    # A rank without a row of its own in the last round runs one again, without weight (see HeldoutBatch).
    mine = [bins[(r * world.size + world.rank) % len(bins)] for r in range(rounds)]
    rows = [micro_batch_of(materialise_row(tuple(refs[i] for i in b), datasets, encoder)) for b in mine]
    return HeldoutBatch(rows, num_weighted=len(bins[world.rank :: world.size]))


@torch.no_grad()
def mean_loss(engine: TrainingEngine, batch: HeldoutBatch, world: World) -> float:
    """Nats per target over all ranks."""
    engine.module.eval()
    loss = 0.0
    for index, micro_batch in enumerate(batch.micro_batches):
        _, losses_S = engine(micro_batch.payload, 1.0)
        if index < batch.num_weighted:
            loss += float(losses_S.double().sum())
    engine.module.train()
    weighted = batch.micro_batches[: batch.num_weighted]
    total, count = sum_over_ranks([loss, float(sum(m.num_targets for m in weighted))], world)
    return total / count
