"""The replaced layers: results and gradients of the stock ones, parameters and names kept."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import (
    Qwen2_5_VisionPatchEmbed,
    Qwen2_5_VLAttention,
    Qwen2_5_VLDecoderLayer,
    Qwen2_5_VLRMSNorm,
)

from mimo_vl.model.layers import LastLayer, PatchProjection, RmsNorm, install_fast_layers
from mimo_vl.model.packed import packed_hidden_states, row_tensors
from mimo_vl.model.rotary import SelfAttention
from mimo_vl.model.supervised import supervised_loss
from mimo_vl.processing.packed_row import pack_row
from tests.unit.model.builders import sample, tiny_model

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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_of_the_decoder_is_that_of_the_stock_layer_to_the_bit(tmp_path: Path, dtype: torch.dtype) -> None:
    decoder = tiny_model(tmp_path).model.language_model.to(dtype)
    fast = decoder.layers[0].self_attn
    assert isinstance(fast, SelfAttention)
    stock = Qwen2_5_VLAttention(decoder.config, 0).to(dtype)
    stock.load_state_dict(fast.state_dict())
    generator = torch.Generator().manual_seed(5)
    hidden_1TD = torch.randn(1, 7, decoder.config.hidden_size, generator=generator).to(dtype)
    # Height and width of a picture's tokens differ from their time.
    positions_31T = torch.randint(0, 50, (3, 1, 7), generator=generator)
    turns = decoder.rotary_emb(hidden_1TD, positions_31T)
    results = []
    for attention in (fast, stock):
        inputs_1TD = hidden_1TD.clone().requires_grad_()
        out_1TD, _ = attention(hidden_states=inputs_1TD, attention_mask=None, position_embeddings=turns)
        gradients = torch.autograd.grad(out_1TD.square().sum(), [inputs_1TD, *attention.parameters()])
        results.append([out_1TD, *gradients])
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(*results, strict=True))


def test_the_last_layer_gives_the_rows_that_are_read(tmp_path: Path) -> None:
    model = tiny_model(tmp_path)
    assert isinstance(model.model.language_model.layers[-1], LastLayer)
    row = row_tensors(pack_row([sample("a", 9), sample("b", 3, (1, 4, 4), 6)]))
    everything_TD = packed_hidden_states(model, row)
    read_N = torch.tensor([8, 2, 2, 11])
    torch.testing.assert_close(packed_hidden_states(model, row, read_N), everything_TD[read_N])
    assert packed_hidden_states(model, row, read_N[:0]).shape == (0, everything_TD.shape[1])


def test_a_row_without_a_target_gives_every_parameter_a_zero_gradient(tmp_path: Path) -> None:
    model = tiny_model(tmp_path)
    silent = pack_row([replace(sample("a", 9), supervised_T=np.zeros(9, dtype=np.bool_))])
    supervised_loss(model, row_tensors(silent)).loss_sum.backward()
    assert all(p.grad is not None and not p.grad.any() for p in model.parameters())


def test_a_model_with_a_stock_last_layer_is_refused(tmp_path: Path) -> None:
    model = tiny_model(tmp_path)
    layers = model.model.language_model.layers
    layers[-1] = Qwen2_5_VLDecoderLayer(model.config.text_config, len(layers) - 1)
    with pytest.raises(ValueError, match="prepare_model"):
        packed_hidden_states(model, row_tensors(pack_row([sample("a", 9)])))
