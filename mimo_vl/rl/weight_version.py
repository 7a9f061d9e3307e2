"""Which weights produced what? Versions count updates: version v = the policy after v steps; they never mix or skip."""

from __future__ import annotations

from collections.abc import Sequence

from mimo_vl.errors import WeightVersionError
from mimo_vl.schema.rollout import Completion


def require_version(completions: Sequence[Completion], version: int) -> None:
    """Check that these completions come from weights `version` alone.

    Raises:
        WeightVersionError: at least one does not; an update on it would be off-policy.
    """
    found = sorted({c.weight_version for c in completions})
    if completions and found != [version]:
        raise WeightVersionError(
            f"completions of weight versions {found}, wanted {version} alone; push the weights to every engine before "
            "a step and drop completions of earlier ones"
        )


def require_next(previous: int, version: int) -> None:
    """Check that a pushed version follows the one before it."""
    if version != previous + 1:
        raise WeightVersionError(f"weight version {version} follows {previous}, wanted {previous + 1}: a step was lost")
