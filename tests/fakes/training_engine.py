"""An engine in one process without DeepSpeed: plain gradients, SGD with rate 1, no clipping."""

from __future__ import annotations

import torch
from torch import nn

from mimo_vl.training.micro_batch import MicroBatch


class LinearModel(nn.Module):
    """Loss of a segment = weight * value of the segment."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(1.0))

    def forward(self, values_S: torch.Tensor, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
        losses_S = self.weight * values_S
        return losses_S.sum() * scale, losses_S.detach()


class FakeEngine:
    def __init__(self, num_micro_batches: int) -> None:
        self.module = LinearModel()
        self.num_micro_batches = num_micro_batches
        self.updates = 0
        self.lr_factors: list[float] = []
        self._micro = 0
        self._norm = float("nan")

    def __call__(self, payload: object, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
        return self.module(payload, scale)

    def backward(self, loss: torch.Tensor) -> None:
        loss.backward()

    def micro_step(self) -> None:
        self._micro += 1
        if self._micro % self.num_micro_batches:
            return
        gradient = self.module.weight.grad
        assert gradient is not None
        self._norm = float(gradient.abs())
        with torch.no_grad():
            self.module.weight -= gradient
        self.module.weight.grad = None
        self.updates += 1

    def grad_norm(self) -> float:
        return self._norm

    def set_lr_factor(self, factor: float) -> None:
        self.lr_factors.append(factor)

    def learning_rates(self) -> dict[str, float]:
        return {"all": self.lr_factors[-1]}


def micro_batch(values: list[float], targets: list[int], *, groups: list[str], prefix: str = "s") -> MicroBatch:
    return MicroBatch(
        payload=torch.tensor(values),
        sample_ids_S=tuple(f"{prefix}{i}" for i in range(len(values))),
        groups_S=tuple(groups),
        num_targets_S=tuple(targets),
        num_tokens=10 * len(values),
        num_pairs=55 * len(values),
        num_patches=3,
    )
