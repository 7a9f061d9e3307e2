"""Who am I among the ranks, on which device, and a few collectives on plain Python values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

import torch
import torch.distributed as dist

from mimo_vl.errors import ConfigError
from mimo_vl.model.device import compute_dtype
from mimo_vl.training.settings import ACCELERATOR_VARIABLE, accelerator

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class World:
    """rank in [0, size); local_rank in [0, local_size) among the ranks of this node; also the index of the GPU."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    is_gpu: bool = False

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    @property
    def is_first_of_node(self) -> bool:
        """Of the ranks that see the same local folders, one writes."""
        return self.local_rank == 0

    @property
    def device(self) -> torch.device:
        return torch.device("cuda", self.local_rank) if self.is_gpu else torch.device("cpu")

    @property
    def dtype(self) -> torch.dtype:
        return compute_dtype(self.device)


def current_world(rank: int, size: int, local_rank: int, local_size: int) -> World:
    """On the device that DeepSpeed takes. Raises as `uses_gpus`."""
    is_gpu = uses_gpus(accelerator(), num_gpus=torch.cuda.device_count(), local_size=local_size)
    return World(rank=rank, size=size, local_rank=local_rank, local_size=local_size, is_gpu=is_gpu)


def uses_gpus(wanted: str, *, num_gpus: int, local_size: int) -> bool:
    """Whether the ranks of a node train on its GPUs: as DeepSpeed was told (`wanted`), else where there are any.

    Raises:
        ConfigError: fewer GPUs than ranks (a CPU would be a hundred times slower, so nobody falls back to it
            unasked), or a device that is neither.
    """
    if wanted == "cpu" or (not wanted and num_gpus == 0):
        return False
    if wanted not in ("", "cuda"):
        raise ConfigError(f"{ACCELERATOR_VARIABLE} is {wanted!r}, wanted cpu, cuda or nothing")
    if num_gpus < local_size:
        raise ConfigError(
            f"parallelism: {local_size} ranks on this node but {num_gpus} visible GPUs, and each rank takes one; lower "
            f"num_ranks, or set {ACCELERATOR_VARIABLE}=cpu to train on the CPU"
        )
    return True


def sum_over_ranks(values: Sequence[float], world: World) -> list[float]:
    """Element-wise sum in float64; every rank gets the same bits."""
    if world.size == 1:
        return [float(v) for v in values]
    total = torch.tensor(list(values), dtype=torch.float64, device=world.device)
    dist.all_reduce(total)
    return [float(v) for v in total.tolist()]


def gather_objects(value: T, world: World) -> list[T]:
    """Every rank's value in rank order, on every rank; plain picklable values, since ranks unpickle each other's."""
    if world.size == 1:
        return [value]
    gathered: list[T | None] = [None] * world.size
    dist.all_gather_object(gathered, value)
    return cast("list[T]", gathered)


def gather_strings(values: Sequence[str], world: World) -> list[str]:
    """All ranks' strings in rank order, on every rank."""
    return [value for part in gather_objects(list(values), world) for value in part]


def barrier(world: World) -> None:
    if world.size > 1:
        dist.barrier()
