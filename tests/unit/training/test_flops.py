"""Operations of a step, each expected value by hand."""

from __future__ import annotations

import numpy as np
import pytest

from mimo_vl.config.compose import compose
from mimo_vl.config.model import ModelConfig
from mimo_vl.config.training import Component
from mimo_vl.processing.packed_row import pack_row
from mimo_vl.training.callbacks.callback import StepReport
from mimo_vl.training.callbacks.throughput import Throughput
from mimo_vl.training.flops import FlopCount, causal_pairs, count_flops
from mimo_vl.training.micro_batch import attended_pairs
from mimo_vl.training.reward_model import reward_flops
from mimo_vl.training.train_step import StepResult
from tests.unit.model.builders import sample

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def full() -> ModelConfig:
    return compose("mimo_vl_7b").model


def test_a_dense_token_costs_six_operations_per_weight(full: ModelConfig) -> None:
    # Every weight but the looked-up embedding.
    assert count_flops(full, trainable=tuple(Component)).per_token == 6 * (7_622_619_136 - 621_281_280)


def test_a_frozen_language_model_still_passes_gradients_down(full: ModelConfig) -> None:
    frozen = count_flops(full, trainable=(Component.PROJECTOR,))
    trained = count_flops(full, trainable=tuple(Component))
    assert frozen.per_token == pytest.approx(trained.per_token * 4 / 6)
    # Backward of attention is the same with and without weights to train.
    assert frozen.per_pair == trained.per_pair
    # Tower: forward alone; projector: all three passes, once per four patches.
    assert frozen.per_patch == 2 * 636_401_664 + 6 * 47_196_416 / 4


def test_below_what_trains_there_is_no_backward(full: ModelConfig) -> None:
    flops = count_flops(full, trainable=(Component.LANGUAGE,))
    assert flops.per_patch == 2 * 636_401_664 + 2 * 47_196_416 / 4


def test_a_pair_costs_twelve_operations_per_layer_and_width(full: ModelConfig) -> None:
    assert count_flops(full, trainable=tuple(Component)).per_pair == 12 * 36 * 4096


def test_a_reward_model_trains_everything_and_meets_no_language_head(full: ModelConfig) -> None:
    flops = reward_flops(full, vocab_size=0)
    # Neither the looked-up embedding nor the language head.
    assert flops.per_token == 6 * (7_622_619_136 - 2 * 621_281_280)
    assert flops.per_pair == 12 * 36 * 4096


def test_a_tied_embedding_is_met_once_or_by_a_reward_model_not_at_all() -> None:
    tiny = compose("tiny").model
    whole = count_flops(tiny, trainable=tuple(Component), vocab_size=2048)
    assert whole.per_token - reward_flops(tiny, vocab_size=2048).per_token == 6 * 2048 * 256


def test_tokens_attend_inside_their_own_sample_alone() -> None:
    # 3 tokens: 1 + 2 + 3; 5 tokens: 1 + ... + 5. As one document of 8 it would be 36.
    assert attended_pairs(pack_row([sample("a", 3), sample("b", 5)])) == 6 + 15


def test_pairs_of_equal_documents_are_those_of_a_row() -> None:
    row = pack_row([sample(str(i), 4) for i in range(3)])
    assert causal_pairs(12, document_length=4) == attended_pairs(row) == 30


def test_the_share_of_the_peak_counts_tokens_pairs_and_patches() -> None:
    throughput = Throughput(FlopCount(per_token=2.0, per_pair=3.0, per_patch=5.0), peak_flops=1000.0)
    result = StepResult(
        loss=1.0,
        loss_by_group={},
        num_targets=1,
        num_tokens=10,
        num_pairs=20,
        num_patches=4,
        grad_norm=1.0,
        is_stop_requested=False,
    )
    throughput.on_step_end(
        StepReport(step=1, num_steps=1, result=result, step_s=0.5, data_wait_s=0.0, rank_tokens=10, rank_patches=4)
    )
    # (10 * 2 + 20 * 3 + 4 * 5) operations in half a second, of 1000 per second.
    assert np.isclose(throughput.rates()["mfu"], 100 / 0.5 / 1000)
