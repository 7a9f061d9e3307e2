"""Real ranks over gloo on loopback: equal results at 1 and 2 ranks and every ZeRO stage, resume, refusal of NaN."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.integration.training.ranks import run_ranks

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(600)]


def _read(folder: Path, name: str, num_ranks: int) -> dict[str, Any]:
    return json.loads((folder / f"{name}-{num_ranks}.json").read_text())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ranks")


@pytest.fixture(scope="module")
def two_ranks(folder: Path) -> dict[str, Any]:
    """24 steps in every ZeRO stage at 2 ranks, each rank two micro-batches; rank 1 sees text only."""
    assert run_ranks("all_stages", folder, num_ranks=2) == [0, 0]
    for zero_stage in range(4):
        only = folder / f"only-4-zero-{zero_stage}"
        only.mkdir()
        # keep_last is the caller's (no caller here): all checkpoints are still there.
        shutil.copytree(folder / f"zero-{zero_stage}" / "step-4", only / "step-4")
    return _read(folder, "all_stages", 2)


@pytest.fixture(scope="module")
def one_rank(folder: Path, two_ranks: dict[str, Any]) -> dict[str, Any]:
    """The same from step 4 on at 1 rank, through the universal checkpoint."""
    assert two_ranks
    assert run_ranks("resume_elsewhere", folder, num_ranks=1) == [0]
    return _read(folder, "resume_elsewhere", 1)


def test_the_balance_of_the_ranks_is_logged(two_ranks: dict[str, Any]) -> None:
    from mimo_vl.training.world import World
    from tests.integration.training.rank_program import Rows

    by_rank = [Rows(World(rank=rank, size=2)) for rank in range(2)]
    assert len(two_ranks["0"]["imbalance"]) == 24
    for step, (tokens, patches) in enumerate(two_ranks["0"]["imbalance"]):
        counts = [sum(m.num_tokens for m in rows.micro_batches(step)) for rows in by_rank]
        assert tokens == pytest.approx(2 * max(counts) / sum(counts))
        # All pictures lie on rank 0.
        assert patches == 2.0


def test_every_zero_stage_trains_alike(two_ranks: dict[str, Any]) -> None:
    reference = two_ranks["0"]
    for zero_stage in "123":
        assert two_ranks[zero_stage]["losses"] == pytest.approx(reference["losses"], rel=1e-5)
        # Later norms, of sums in another order, drift apart with the weights.
        assert two_ranks[zero_stage]["norms"][:5] == pytest.approx(reference["norms"][:5], rel=1e-4)
    assert reference["losses"][-1] != pytest.approx(reference["losses"][0], rel=1e-2)


@pytest.mark.parametrize("zero_stage", ["1", "2", "3"])
def test_another_number_of_ranks_continues_with_the_same_samples_and_losses(
    zero_stage: str, two_ranks: dict[str, Any], one_rank: dict[str, Any]
) -> None:
    whole, continued = two_ranks[zero_stage], one_rank[zero_stage]
    assert continued["ids"] == whole["ids"][4:]
    assert len(continued["losses"]) == 24
    assert continued["losses"] == pytest.approx(whole["losses"], rel=1e-5)
    assert continued["weights"] == pytest.approx(whole["weights"], rel=1e-4)


def test_zero_0_at_another_number_of_ranks_says_what_to_do(one_rank: dict[str, Any]) -> None:
    assert one_rank["0"]["error"].startswith("ConfigError: parallelism.zero_stage: 0 -> 1, 2 or 3 (a checkpoint of")


def test_kill_9_and_resume_equals_an_uninterrupted_run_bit_for_bit(folder: Path) -> None:
    assert -9 in run_ranks("killed", folder, num_ranks=2)
    assert run_ranks("after_kill", folder, num_ranks=2) == [0, 0]
    runs = _read(folder, "after_kill", 2)
    assert runs["resumed"]["losses"] == runs["whole"]["losses"]
    assert runs["resumed"]["bits"] == runs["whole"]["bits"]
    assert runs["resumed"]["ids"] == runs["whole"]["ids"][4:]


def test_a_non_finite_loss_ends_every_rank_with_code_2_and_names_the_samples(folder: Path) -> None:
    assert run_ranks("nan", folder, num_ranks=2) == [2, 2]
    for rank in (0, 1):
        message = (folder / f"nan-error-{rank}.txt").read_text()
        # Rows 0 and 1 of step 0 have images (samples 0-0-0; 0-1-0, 0-1-1) and are rank 0's; rank 1 knows them too.
        assert message.startswith("NonFiniteLossError: step 0: the loss is not finite for samples 0-0-0, 0-1-0, 0-1-1")
