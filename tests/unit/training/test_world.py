"""torch and DeepSpeed work on the same device, and each rank on a GPU of its own."""

from __future__ import annotations

import pytest
import torch

from mimo_vl.errors import ConfigError
from mimo_vl.training.world import current_world, uses_gpus


@pytest.mark.parametrize(
    ("wanted", "num_gpus", "local_size", "is_gpu"),
    [
        ("", 0, 2, False),
        ("", 8, 8, True),
        ("", 8, 2, True),
        ("cuda", 1, 1, True),
        # The Makefile sets cpu: DeepSpeed then works on the CPU, whatever torch sees.
        ("cpu", 8, 8, False),
        ("cpu", 1, 2, False),
    ],
)
def test_the_ranks_take_gpus_where_deepspeed_does(wanted: str, num_gpus: int, local_size: int, is_gpu: bool) -> None:
    assert uses_gpus(wanted, num_gpus=num_gpus, local_size=local_size) is is_gpu


@pytest.mark.parametrize(("wanted", "num_gpus"), [("", 1), ("cuda", 1), ("cuda", 0)])
def test_fewer_gpus_than_ranks_are_refused_with_a_remedy(wanted: str, num_gpus: int) -> None:
    with pytest.raises(ConfigError, match=rf"2 ranks on this node but {num_gpus} visible GPUs.*DS_ACCELERATOR=cpu"):
        uses_gpus(wanted, num_gpus=num_gpus, local_size=2)


def test_another_device_is_refused() -> None:
    with pytest.raises(ConfigError, match="DS_ACCELERATOR is 'xpu', wanted cpu, cuda or nothing"):
        uses_gpus("xpu", num_gpus=1, local_size=1)


@pytest.mark.parametrize(("wanted", "device", "dtype"), [("cpu", "cpu", torch.float32), ("", "cuda:1", torch.bfloat16)])
def test_a_host_with_gpus_obeys_the_environment(
    monkeypatch: pytest.MonkeyPatch, wanted: str, device: str, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("DS_ACCELERATOR", wanted)
    world = current_world(rank=1, size=2, local_rank=1, local_size=2)
    assert (world.device, world.dtype) == (torch.device(device), dtype)
