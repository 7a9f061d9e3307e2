"""Preference pairs as micro-batches: both answers of a pair, chosen first, stand behind their prompt in one row."""

# Shapes: S segments of the row, two per pair
from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mimo_vl.data.readers.indexed import IndexedDataset
from mimo_vl.errors import CorruptDataError, InputError
from mimo_vl.processing.encode import SampleEncoder
from mimo_vl.processing.packed_row import EncodedSample, PackedRow
from mimo_vl.processing.shared_prompts import pack_answers
from mimo_vl.rewards.requests import answered
from mimo_vl.schema.sample import PreferencePair
from mimo_vl.training.micro_batch import MicroBatch, attended_pairs
from mimo_vl.training.world import World

_GROUP = "pair"
_ORDER_STREAM = 0xBEEF


@dataclass(frozen=True)
class PairSet:
    """Pairs and where their prompts' media are."""

    pairs: Sequence[PreferencePair]
    prompts: IndexedDataset
    index_of_prompt: dict[str, int]


def read_pairs(folder: Path, kind: str, split: str) -> PairSet:
    """`pairs/<kind>-<split>.jsonl` with the prompts of `datasets/pairs-<kind>`.

    Raises:
        InputError: no such file, or no pair in it.
        CorruptDataError: a pair whose prompt is not in the dataset.
    """
    path = folder / "pairs" / f"{kind}-{split}.jsonl"
    if not path.is_file():
        raise InputError(f"missing file {path}; run `curate-rl` until it finishes")
    pairs = [PreferencePair.from_json(line) for line in path.read_bytes().splitlines()]
    if not pairs:
        raise InputError(f"{path}: no pairs; raise curate_rl.answers_per_query or data.synthesis.preference_queries")
    prompts = IndexedDataset(folder / "datasets" / f"pairs-{kind}")
    index = {prompts.sample(i).id: i for i in range(len(prompts))}
    missing = [pair.id for pair in pairs if pair.prompt.id not in index]
    if missing:
        raise CorruptDataError(f"{path}: {len(missing)} pairs have no prompt in {prompts.name}, first {missing[0]}")
    return PairSet(pairs, prompts, index)


class PairSource:
    """A BatchSource: every epoch is a permutation of the prompts; the last step of an epoch fills up from the next.

    All pairs of a prompt follow each other, so that they are compared in one step (Ouyang et al. 2022, 3.5) and share
    the prompt in its rows.
    """

    def __init__(
        self,
        pairs: PairSet,
        encoder: SampleEncoder,
        *,
        seed: int,
        pairs_per_step: int,
        pairs_per_micro_batch: int,
        world: World,
    ) -> None:
        self._pairs = pairs
        self._encoder = encoder
        self._seed = seed
        self._pairs_of_prompt = _pairs_of_prompt(pairs.pairs)
        self._order = functools.lru_cache(maxsize=2)(self._epoch_order)
        self._pairs_per_step = pairs_per_step
        self._pairs_per_micro_batch = pairs_per_micro_batch
        self._world = world

    @property
    def groups(self) -> tuple[str, ...]:
        return (_GROUP,)

    def indices(self, step: int) -> list[int]:
        """All pairs of one step, over all ranks."""
        start = step * self._pairs_per_step
        return [self._at(position) for position in range(start, start + self._pairs_per_step)]

    def micro_batches(self, step: int) -> list[MicroBatch]:
        indices, rank, num_ranks = self.indices(step), self._world.rank, self._world.size
        mine = indices[len(indices) * rank // num_ranks : len(indices) * (rank + 1) // num_ranks]
        size = self._pairs_per_micro_batch
        return [pair_micro_batch(self._pairs, mine[i : i + size], self._encoder) for i in range(0, len(mine), size)]

    def _at(self, position: int) -> int:
        epoch, place = divmod(position, len(self._pairs.pairs))
        return self._order(epoch)[place]

    def _epoch_order(self, epoch: int) -> list[int]:
        rng = np.random.default_rng([self._seed, _ORDER_STREAM, epoch])
        prompts = rng.permutation(len(self._pairs_of_prompt)).tolist()
        return [index for prompt in prompts for index in self._pairs_of_prompt[prompt]]


def _pairs_of_prompt(pairs: Sequence[PreferencePair]) -> list[list[int]]:
    """Indices of the pairs, by prompt in order of appearance."""
    found: dict[str, list[int]] = {}
    for index, pair in enumerate(pairs):
        found.setdefault(pair.prompt.id, []).append(index)
    return list(found.values())


def pair_micro_batch(pairs: PairSet, indices: Sequence[int], encoder: SampleEncoder) -> MicroBatch:
    """One row with the segments prompt, chosen, rejected, prompt, chosen, rejected, …"""
    samples: list[EncodedSample] = []
    for index in indices:
        samples.extend(_encode_pair(pairs, pairs.pairs[index], encoder))
    row: PackedRow = pack_answers(samples)
    return MicroBatch(
        payload=row,
        sample_ids_S=tuple(pairs.pairs[i].id for i in indices),
        groups_S=(_GROUP,) * len(indices),
        num_targets_S=(1,) * len(indices),
        num_tokens=len(row.input_ids_T),
        num_pairs=attended_pairs(row),
        num_patches=len(row.patches_PC),
    )


def _encode_pair(pairs: PairSet, pair: PreferencePair, encoder: SampleEncoder) -> list[EncodedSample]:
    """Prompt and answer as a finished assistant turn, exactly as the reward service encodes what it scores."""
    record = pairs.prompts[pairs.index_of_prompt[pair.prompt.id]]
    return [encoder.encode(answered(record.sample, text), record.media) for text in (pair.chosen, pair.rejected)]
