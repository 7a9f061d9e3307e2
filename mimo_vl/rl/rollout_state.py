"""What the rollout side must remember between steps: one stream position and one easy pool per family."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from mimo_vl.rl.task_mixture import Launch
from mimo_vl.schema.record import Record
from mimo_vl.schema.rollout import ScoredGroup
from mimo_vl.vocabulary import RlFamily


class FamilyState(Record):
    """`position`: next place in the family's stream. `easy_pool`: prompt indices, sorted."""

    position: int = 0
    easy_pool: tuple[int, ...] = ()


class RolloutState(Record):
    families: dict[RlFamily, FamilyState] = Field(default_factory=dict)


def family_state_after(
    state: FamilyState, counted: Sequence[tuple[Launch, ScoredGroup]], *, easy_reward: float
) -> FamilyState:
    """The state after these launches.

    A prompt whose worst answer reaches `easy_reward` enters the pool; one from the pool that no longer does leaves it.
    A group with an unknown reward says nothing about its prompt.
    """
    position, pool = state.position, set(state.easy_pool)
    for launch, group in counted:
        if launch.position is not None:
            position = launch.position + 1
        rewards = [r for r in group.rewards if r is not None]
        if len(rewards) < len(group.rewards):
            continue
        if min(rewards) >= easy_reward:
            pool.add(launch.prompt_index)
        else:
            pool.discard(launch.prompt_index)
    return FamilyState(position=position, easy_pool=tuple(sorted(pool)))
