"""A reward model from pairs to its artifact on two ranks: it learns to rank, says how sure that is, and resumes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mimo_vl.intervals import clustered_wilson
from mimo_vl.model.reward_head import load_reward_model
from tests.integration.training.ranks import run_ranks
from tests.integration.training.reward_model_program import (
    BATCH_PAIRS,
    NUM_EPOCHS,
    NUM_QUERIES,
    PAIRS_PER_QUERY,
    STOP_AFTER,
)

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(600)]

NUM_HELDOUT = NUM_QUERIES["heldout"] * PAIRS_PER_QUERY
NUM_STEPS = NUM_EPOCHS * NUM_QUERIES["train"] * PAIRS_PER_QUERY // BATCH_PAIRS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reward-model")
    assert run_ranks("all", folder, num_ranks=2, program="reward_model_program") == [0, 0]
    return folder


@pytest.fixture(scope="module")
def found(folder: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((folder / "found.json").read_text())
    return result


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_it_learns_which_answer_is_better_also_of_queries_it_has_not_seen(found: dict[str, Any]) -> None:
    metrics = found["whole"]["metrics"]
    assert metrics["loss_last"] < 0.5 * metrics["loss_first"]
    assert metrics["pairwise_accuracy"] == 1.0
    assert (metrics["steps"], metrics["train_pairs"]) == (NUM_STEPS, NUM_QUERIES["train"] * PAIRS_PER_QUERY)
    assert metrics["tokens"] > 0


def test_every_held_out_pair_counts_once_and_the_interval_is_clustered_by_query(found: dict[str, Any]) -> None:
    metrics = found["whole"]["metrics"]
    # 15 pairs in batches of 2 on two ranks: 8 batches, the last of one pair.
    assert (metrics["heldout_pairs"], metrics["heldout_queries"]) == (NUM_HELDOUT, NUM_QUERIES["heldout"])
    # One of three pairs of a query has the base model's answer in it.
    assert (metrics["heldout_pairs_base_sft"], metrics["heldout_pairs_sft_sft"]) == (5.0, 10.0)
    queries = [str(i // PAIRS_PER_QUERY) for i in range(NUM_HELDOUT)]
    low, high = clustered_wilson([1.0] * NUM_HELDOUT, queries, 0.95)
    assert (metrics["ci_low"], metrics["ci_high"]) == pytest.approx((low, high))
    assert 0.5 < metrics["ci_low"] < metrics["ci_high"] <= 1.0


def test_the_artifact_is_a_reward_model_with_its_metrics(folder: Path, found: dict[str, Any]) -> None:
    output = folder / "whole" / "output"
    saved = json.loads((output / "metrics.json").read_text())
    assert len(saved.pop("history")) == NUM_STEPS
    # Rates depend on the machine: they are in the manifest alone.
    assert saved == {name: found["whole"]["metrics"][name] for name in saved}
    assert "tokens_per_s" not in saved
    assert load_reward_model(output / "model").head.weight.shape == (1, 32)


def test_stopped_and_resumed_it_ends_with_the_same_bytes(folder: Path, found: dict[str, Any]) -> None:
    assert f"after step {STOP_AFTER}" in found["first"]["stopped"]
    assert list(found["first"]["losses"]) == [str(step) for step in range(1, STOP_AFTER + 1)]
    assert list(found["second"]["losses"]) == [str(step) for step in range(STOP_AFTER + 1, NUM_STEPS + 1)]
    assert found["first"]["losses"] | found["second"]["losses"] == found["whole"]["losses"]
    whole = _files(folder / "whole" / "output")
    assert {"metrics.json", "model/model.safetensors"} <= set(whole)
    assert _files(folder / "second" / "output") == whole
