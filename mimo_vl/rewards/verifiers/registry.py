"""Which verifier judges which task."""

from __future__ import annotations

from mimo_vl.config.rewards import RewardsConfig
from mimo_vl.rewards.verdict import Verifier
from mimo_vl.rewards.verifiers import counting, grounding_box, grounding_point, mathematics, temporal_grounding
from mimo_vl.rewards.verifiers.custom import load_custom_verifier
from mimo_vl.vocabulary import RewardTask

Registry = dict[RewardTask, Verifier]


def register(registry: Registry, task: RewardTask, verifier: Verifier) -> None:
    """Add a verifier.

    Raises:
        ValueError: the task has one already.
    """
    if task in registry:
        raise ValueError(f"task {task} already has a verifier; remove one of the two registrations")
    registry[task] = verifier


def build_registry(config: RewardsConfig) -> Registry:
    """The shipped verifiers, and the user's own where the configuration names one.

    Raises:
        ConfigError: that one cannot be used.
    """
    registry: Registry = {}
    register(registry, RewardTask.VISUAL_REASONING, mathematics.VERIFIER)
    register(registry, RewardTask.TEXT_REASONING, mathematics.VERIFIER)
    register(registry, RewardTask.COUNTING, counting.VERIFIER)
    register(registry, RewardTask.GROUNDING_BOX, grounding_box.VERIFIER)
    register(registry, RewardTask.GROUNDING_POINT, grounding_point.VERIFIER)
    register(registry, RewardTask.TEMPORAL_GROUNDING, temporal_grounding.VERIFIER)
    custom = load_custom_verifier(config)
    if custom is not None:
        register(registry, RewardTask.CUSTOM, custom)
    return registry
