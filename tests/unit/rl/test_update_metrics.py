"""What a step of RL says of its families."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from mimo_vl.rl.rollout import FamilyTally, RolloutBatch
from mimo_vl.rl.rollout_state import RolloutState
from mimo_vl.rl.task_mixture import Launch
from mimo_vl.rl.update_metrics import UpdateMetrics, step_metrics
from mimo_vl.vocabulary import RlFamily
from tests.unit.rl.builders import COUNTING, GROUNDING, group


def _metrics(rewards: dict[RlFamily, Sequence[Sequence[float | None]]]) -> dict[str, float]:
    tallies = {
        family: FamilyTally(
            launched=[
                (Launch(family=family, prompt_index=i, position=i), group(values, index=i, family=family))
                for i, values in enumerate(groups)
            ]
        )
        for family, groups in rewards.items()
    }
    batch = RolloutBatch(
        step=0, groups=(), state=RolloutState(families={}), num_waves=1, num_rescored=0, tallies=tallies
    )
    return step_metrics(batch, UpdateMetrics())


def test_the_pass_rate_of_a_family_is_its_share_of_full_rewards() -> None:
    values = _metrics({COUNTING: [(1.0, 0.0), (1.0, 1.0)], GROUNDING: [(0.0, 0.0)]})
    assert values["rl/pass_rate/counting"] == 0.75
    assert values["rl/pass_rate/grounding"] == 0.0


def test_partial_credit_raises_the_mean_reward_and_not_the_pass_rate() -> None:
    values = _metrics({GROUNDING: [(0.5, 1.0), (0.9, 0.0)]})
    assert values["rl/pass_rate/grounding"] == 0.25
    assert values["rl/reward_by_family/grounding"] == pytest.approx(0.6)


def test_what_could_not_be_judged_counts_as_neither() -> None:
    values = _metrics({COUNTING: [(1.0, None), (None, 0.0)], GROUNDING: [(None, None)]})
    assert values["rl/pass_rate/counting"] == 0.5
    assert "rl/pass_rate/grounding" not in values
