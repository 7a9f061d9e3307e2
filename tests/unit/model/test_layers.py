"""The replaced layers: results and gradients of the stock ones, parameters and names kept."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VisionPatchEmbed, Qwen2_5_VLRMSNorm

from mimo_vl.model.layers import PatchProjection, RmsNorm, install_fast_layers

PATCHES_PC = torch.randn(50, 1176, generator=torch.Generator().manual_seed(0))


class Tower(nn.Module):
    """The stock layers that are replaced."""

    def __init__(self) -> None:
        super().__init__()
        self.patch_embed = Qwen2_5_VisionPatchEmbed(embed_dim=32)
        self.norm = Qwen2_5_VLRMSNorm(32)
        nn.init.uniform_(self.norm.weight, 0.5, 1.5)

    def forward(self, patches_PC: torch.Tensor) -> torch.Tensor:
        out_PD: torch.Tensor = self.norm(self.patch_embed(patches_PC))
        return out_PD


def towers(dtype: torch.dtype) -> tuple[Tower, Tower]:
    torch.manual_seed(1)
    stock = Tower().to(dtype)
    fast = copy.deepcopy(stock)
    install_fast_layers(fast)  # type: ignore[arg-type]
    return stock, fast


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-6), (torch.bfloat16, 1e-2)])
def test_outputs_and_gradients_are_those_of_the_stock_layers(dtype: torch.dtype, tolerance: float) -> None:
    patches_PC = PATCHES_PC.to(dtype)
    grad_PD = torch.randn(50, 32, generator=torch.Generator().manual_seed(2)).to(dtype)
    outputs, gradients = [], []
    for tower in towers(dtype):
        inputs_PC = patches_PC.clone().requires_grad_()
        out_PD = tower(inputs_PC)
        out_PD.backward(grad_PD)
        outputs.append(out_PD)
        gradients.append([p.grad for p in (inputs_PC, *tower.parameters())])
    torch.testing.assert_close(outputs[1], outputs[0])
    for got, wanted in zip(gradients[1], gradients[0], strict=True):
        assert (got.double() - wanted.double()).norm() <= tolerance * wanted.double().norm()


def test_the_norm_agrees_with_its_derivative_in_finite_steps() -> None:
    norm = RmsNorm(nn.Parameter(torch.linspace(0.5, 1.5, 8)), 1e-6)
    x_TD = torch.randn(3, 8, generator=torch.Generator().manual_seed(3), requires_grad=True)
    direction_TD = torch.randn(3, 8, generator=torch.Generator().manual_seed(4))
    (slope,) = torch.autograd.grad(norm(x_TD).square().sum(), x_TD)

    def value(step: float) -> torch.Tensor:
        return norm((x_TD + step * direction_TD).detach()).double().square().sum()

    expected = (value(1e-2) - value(-1e-2)) / 2e-2
    torch.testing.assert_close((slope * direction_TD).sum().double(), expected, rtol=1e-3, atol=1e-3)


def test_parameters_and_their_names_stay() -> None:
    stock, fast = towers(torch.float32)
    assert list(stock.state_dict()) == list(fast.state_dict())
    before = dict(fast.named_parameters())
    install_fast_layers(fast)  # type: ignore[arg-type]
    assert all(before[name] is parameter for name, parameter in fast.named_parameters())
    assert isinstance(fast.patch_embed.proj, PatchProjection)
    assert isinstance(fast.norm, RmsNorm)
    fast.load_state_dict(stock.state_dict())


def test_frozen_layers_get_no_gradient() -> None:
    _, fast = towers(torch.float32)
    fast.requires_grad_(False)
    inputs_PC = PATCHES_PC.clone().requires_grad_()
    fast(inputs_PC).sum().backward()
    assert all(parameter.grad is None for parameter in fast.parameters())
    assert inputs_PC.grad is not None
