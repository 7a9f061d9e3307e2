"""The time from SIGTERM until a checkpoint is in the store, by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mimo_vl.config.compose import compose
from mimo_vl.training.plan_estimate import GIB, StagePlan, estimate
from mimo_vl.training.plan_saving import SAVE_BYTES_PER_S, saved_gib, saving_s, update_s
from mimo_vl.vocabulary import StageName


def _plan(**changes: float) -> StagePlan:
    """16 GPUs that hold 2 GiB of weights and 5 of optimizer state each."""
    [plan] = [p for p in estimate(compose("mimo_vl_7b")) if p.stage == StageName.LONG_CONTEXT_SFT]
    numbers = {"gpus": 16, "zero_stage": 3, "weights_gib": 2.0, "optimizer_gib": 5.0, "steps": 100, "gpu_hours": 4.0}
    return replace(plan, **{**numbers, **changes})


@pytest.mark.parametrize(
    ("zero_stage", "wanted_gib"),
    [
        # Every rank of the pod writes its shard of both.
        (3, 8 * (2.0 + 5.0)),
        # The weights are whole on each rank; one writes them.
        (2, 2.0 + 8 * 5.0),
        (1, 2.0 + 8 * 5.0),
        # Nothing is sharded: one rank writes everything.
        (0, 2.0 + 5.0),
    ],
)
def test_a_pod_writes_the_shards_of_its_ranks(zero_stage: int, wanted_gib: float) -> None:
    assert saved_gib(_plan(zero_stage=zero_stage), gpus_per_pod=8) == wanted_gib


def test_an_update_takes_its_share_of_the_gpu_hours() -> None:
    # 4 h of 16 GPUs are 900 s; for 100 updates.
    assert update_s(_plan()) == pytest.approx(9.0)


def test_the_update_under_way_comes_before_the_bytes() -> None:
    assert saving_s(_plan(), gpus_per_pod=8) == pytest.approx(9.0 + 56 * GIB / SAVE_BYTES_PER_S)


def test_all_pods_together_write_what_a_checkpoint_holds() -> None:
    # 8.31 B parameters of which all learn: 2 bytes of a weight, 12 of master copy and moments.
    config = compose("mimo_vl_7b")
    [plan] = [p for p in estimate(config) if p.stage == StageName.LONG_CONTEXT_SFT]
    total = saved_gib(plan, gpus_per_pod=8) * plan.gpus / 8
    assert total == pytest.approx(plan.trainable_millions * 1e6 * 14 / GIB, rel=1e-3)
    assert total == pytest.approx(108.3, abs=0.1)
