"""Rules and mappings of the reward service: each mapping to [0, 1] is a named choice, recorded with the reward."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from mimo_vl.config.fields import config, unhashed

_VERIFIER_PATH = re.compile(r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")


@config
class RewardsConfig:
    box_mapping: Literal["half_one_plus_giou", "clipped_giou"] = "half_one_plus_giou"
    """(1 + GIoU) / 2, or max(0, GIoU)."""
    preference_mapping: Literal["sigmoid", "rank_in_group"] = "sigmoid"
    """sigma(score of the Bradley-Terry model), or the rank within the group."""
    math_deadline_s: PositiveFloat = 10.0
    """A symbolic comparison that runs longer is killed with its process; the result is `timeout`, not 0."""
    math_workers: PositiveInt = 1
    """Processes that verify mathematical answers."""
    request_deadline_s: PositiveFloat = 60.0
    """Seconds until a reward request is answered with null rewards."""
    token_budget: PositiveInt = 4096
    """Tokens per forward of a reward model."""
    max_queued_requests: PositiveInt = unhashed(4096)
    """Beyond it the service answers 503, and the client waits."""
    custom_verifier: str = ""
    """`package.module:NAME` of the Verifier that judges the family `custom`; empty = none."""
    custom_verifier_version: str = Field(default="", coerce_numbers_to_str=True)
    """Version that this Verifier states. Another one is refused: stage keys hold the version, not the user's code."""

    def __post_init__(self) -> None:
        path, version = self.custom_verifier, self.custom_verifier_version
        if path and not _VERIFIER_PATH.match(path):
            raise ValueError(f"custom_verifier is {path!r}, wanted package.module:NAME")
        if bool(path) != bool(version):
            raise ValueError(
                f"custom_verifier is {path!r} and custom_verifier_version {version!r}; give both or neither"
            )
