"""How do the trainer's weights travel to the engines? As host arrays with a version, never changed under a reader."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch


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
