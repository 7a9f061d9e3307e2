"""On which device does a process compute, and is that the one it was given?"""

from __future__ import annotations

import os

import torch

from mimo_vl.errors import ConfigError


def compute_device() -> torch.device:
    """The GPU if this process sees one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def compute_dtype(device: torch.device | str) -> torch.dtype:
    """fp32 on CPU (bf16 products are about 70 times slower there), bf16 on GPU."""
    return torch.float32 if torch.device(device).type == "cpu" else torch.bfloat16


def require_device(*, has_gpu: bool) -> None:
    """Raises ConfigError if a GPU was asked for and torch sees none: the CPU would do the work, for weeks."""
    if has_gpu and not torch.cuda.is_available():
        raise ConfigError(
            "the pod's limits reserve a GPU but torch sees none; use an image with CUDA, whose driver the node has, or "
            "reserve no GPU for this group"
        )


def use_threads(num_workers: int) -> None:
    """Share this machine's cores between so many workers."""
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // num_workers))
