"""Rows as micro-batches, the quota of the held-out batch, random states."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
import torch

from mimo_vl.processing.packed_row import EncodedSample, PackedRow, pack_row
from mimo_vl.training.heldout import heldout_quota
from mimo_vl.training.random_state import capture_random_state, restore_random_state, seed_everything
from mimo_vl.training.row_source import merge_rows, micro_batch_of

pytestmark = pytest.mark.timeout(120)


def _sample(name: str, length: int, *, num_supervised: int, data_type: str = "caption") -> EncodedSample:
    supervised = np.zeros(length, dtype=np.bool_)
    supervised[length - num_supervised :] = num_supervised > 0
    return EncodedSample(
        id=name,
        data_type=data_type,
        input_ids_T=np.arange(length, dtype=np.int64),
        supervised_T=supervised,
        mm_types_T=np.zeros(length, dtype=np.int64),
        positions_3T=np.tile(np.arange(length, dtype=np.int64), (3, 1)),
        patches_PC=np.zeros((0, 4), dtype=np.float32),
        grid_thw_N3=np.zeros((0, 3), dtype=np.int64),
    )


def test_targets_are_counted_per_sample() -> None:
    row = pack_row([_sample("a", 4, num_supervised=2), _sample("b", 3, num_supervised=0, data_type="text")])
    batch = micro_batch_of(row)
    assert batch.num_targets_S == (2, 0)
    assert batch.groups_S == ("caption", "text")
    assert batch.num_targets == 2
    assert batch.num_tokens == 7


def test_merged_rows_equal_one_row_of_all_samples() -> None:
    a, b, c = (_sample(n, k, num_supervised=1) for n, k in (("a", 4), ("b", 2), ("c", 3)))
    _assert_equal(merge_rows([pack_row([a, b]), pack_row([c])]), pack_row([a, b, c]))
    _assert_equal(merge_rows([pack_row([a])]), pack_row([a]))


def _assert_equal(left: PackedRow, right: PackedRow) -> None:
    assert left.sample_ids == right.sample_ids
    for name in ("input_ids_T", "supervised_T", "positions_3T", "cu_seqlens_S1", "patches_PC", "grid_thw_N3"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name))


def test_heldout_quota_follows_the_mixture_and_its_sum() -> None:
    # 10 * (0.5, 0.3, 0.2) = 5, 3, 2.
    sizes = {"a": 64, "b": 64, "c": 64}
    assert heldout_quota({"a": 0.5, "b": 0.3, "c": 0.2}, sizes, 10) == {"a": 5, "b": 3, "c": 2}


def test_heldout_quota_gives_every_type_one_and_no_type_more_than_it_has() -> None:
    assert heldout_quota({"a": 0.99, "b": 0.01}, {"a": 4, "b": 64}, 10) == {"a": 4, "b": 1}


def test_heldout_quota_leaves_out_types_without_weight() -> None:
    assert heldout_quota({"a": 1.0, "b": 0.0}, {"a": 64, "b": 64}, 8) == {"a": 8}


def test_random_states_continue_after_a_round_trip_through_json() -> None:
    seed_everything(3, rank=1)
    state = json.loads(json.dumps(capture_random_state()))
    expected = (random.random(), float(np.random.rand()), torch.rand(3).tolist())
    seed_everything(9, rank=0)
    restore_random_state(state)
    assert (random.random(), float(np.random.rand()), torch.rand(3).tolist()) == expected


def test_ranks_draw_from_different_streams() -> None:
    seed_everything(3, rank=0)
    first = torch.rand(3).tolist()
    seed_everything(3, rank=1)
    assert torch.rand(3).tolist() != first
