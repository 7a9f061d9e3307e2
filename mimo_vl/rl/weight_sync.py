"""Which weights produced what? Versions count updates: version v = the policy after v steps; they never mix or skip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from mimo_vl.errors import WeightVersionError
from mimo_vl.schema.rollout import Completion


@dataclass(frozen=True, kw_only=True)
class WeightUpdate:
    """All weights as host arrays, which an object store passes on without copying."""

    version: int
    arrays: Mapping[str, npt.NDArray[np.generic]]


def weight_update(model: torch.nn.Module, version: int) -> WeightUpdate:
    """A copy of the weights, so that the next update cannot change them under a reader."""
    arrays = {name: tensor.detach().float().cpu().numpy().copy() for name, tensor in model.state_dict().items()}
    return WeightUpdate(version=version, arrays=arrays)


def weight_state(update: WeightUpdate) -> dict[str, torch.Tensor]:
    """The weights as tensors. Arrays from an object store are read-only, so they are copied."""
    return {name: torch.from_numpy(array.copy()) for name, array in update.arrays.items()}


def require_version(completions: Sequence[Completion], version: int) -> None:
    """Check that these completions come from weights `version` alone.

    Raises:
        WeightVersionError: at least one does not; an update on it would be off-policy.
    """
    found = sorted({c.weight_version for c in completions})
    if found != [version] and completions:
        raise WeightVersionError(
            f"completions of weight versions {found}, wanted {version} alone; push the weights to every engine before "
            "a step and drop completions of earlier ones"
        )


def require_next(previous: int, version: int) -> None:
    """Check that a pushed version follows the one before it."""
    if version != previous + 1:
        raise WeightVersionError(f"weight version {version} follows {previous}, wanted {previous + 1}: a step was lost")
