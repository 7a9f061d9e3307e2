"""Pairwise accuracy by query and by the models whose answers are compared."""

from __future__ import annotations

import pytest

from mimo_vl.intervals import wilson
from mimo_vl.schema.sample import AnswerModel
from mimo_vl.training.pair_accuracy import pair_accuracy
from tests.unit.training.pairs import pair

SFT, BASE = AnswerModel.SFT, AnswerModel.BASE


def test_pairs_of_one_query_widen_the_interval() -> None:
    # 20 queries of six pairs, all six right in 15 of them.
    pairs = [pair(f"q{i // 6}", i, SFT, SFT) for i in range(120)]
    values = pair_accuracy(pairs, {i: float(i < 90) for i in range(120)})
    assert values["pairwise_accuracy"] == 0.75
    assert (values["heldout_pairs"], values["heldout_queries"]) == (120.0, 20.0)
    # As if of 20 pairs, not of 120.
    assert (values["ci_low"], values["ci_high"]) == pytest.approx(wilson(15, 20, 0.95), abs=5e-3)


def test_pairs_against_base_do_not_hide_those_that_are_hard() -> None:
    # Base against SFT, either chosen, is always right; two SFT answers are right half of the time.
    pairs = [pair(f"q{i}", 0, SFT, BASE) for i in range(9)] + [pair("q9", 0, BASE, SFT)]
    pairs += [pair(f"q{i}", 1, SFT, SFT) for i in range(10)]
    values = pair_accuracy(pairs, dict.fromkeys(range(10), 1.0) | {10 + i: float(i % 2) for i in range(10)})
    assert values["pairwise_accuracy"] == 0.75
    assert values["pairwise_accuracy_base_sft"] == 1.0
    assert values["pairwise_accuracy_sft_sft"] == 0.5
    assert values["heldout_pairs_sft_sft"] == values["heldout_pairs_base_sft"] == 10.0
    assert values["ci_low_sft_sft"] < 0.5 < values["ci_low_base_sft"]
    assert "pairwise_accuracy_base_base" not in values
