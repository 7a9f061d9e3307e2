"""Which layers of the stock model are computed in another way, with the same parameters and the same result?

RMS norm, on a CPU in float32: one backward formula instead of autograd's chain over six tensors.
Patch embedding: its convolution has stride = kernel, so the gradient of its weight is one matrix product; the forward
stays, to the bit. (What both gain: `python -m benchmarks layers`.)
Attention of the decoder: its rotary positions (`rotary.py`).

Last decoder layer: its MLP, three quarters of its work, at the positions alone whose output is read: where a target is
predicted, or the last ones of answers.
"""

# Shapes: T tokens, N positions that are read, D width, P patches
from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from mimo_vl.model.rotary import SelfAttention, self_attention
from mimo_vl.model.upstream import (
    PreTrainedModel,
    Qwen2_5_VisionPatchEmbed,
    Qwen2_5_VLAttention,
    Qwen2_5_VLDecoderLayer,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLRMSNorm,
    Qwen2RMSNorm,
)


class RmsNorm(nn.Module):
    """y = w * x / sqrt(mean(x^2) + eps), over the last dimension (Zhang and Sennrich 2019)."""

    def __init__(self, weight: nn.Parameter, eps: float) -> None:
        super().__init__()
        self.weight = weight
        self.eps = eps

    def forward(self, x_TD: torch.Tensor) -> torch.Tensor:
        """Same shape and type; the mean in float32."""
        if x_TD.device.type == "cpu" and x_TD.dtype == torch.float32:
            y_TD: torch.Tensor = _RmsNormFunction.apply(x_TD, self.weight, self.eps)
            return y_TD
        wide_TD = x_TD.float()
        scale_T1 = torch.rsqrt(wide_TD.pow(2).mean(-1, keepdim=True) + self.eps)
        return self.weight * (wide_TD * scale_T1).to(x_TD.dtype)

    def extra_repr(self) -> str:
        return f"{tuple(self.weight.shape)}, eps={self.eps}"


class _RmsNormFunction(torch.autograd.Function):
    """With n = x s, s = 1 / sqrt(mean(x^2) + eps), g = dL/dy: dL/dw = sum_T g n, dL/dx = s (w g - n mean(w g n))."""

    @staticmethod
    def forward(ctx: Any, x_TD: torch.Tensor, weight_D: torch.Tensor, eps: float) -> torch.Tensor:
        mean_T1 = torch.linalg.vecdot(x_TD, x_TD).div_(x_TD.shape[-1]).unsqueeze(-1)
        scale_T1 = mean_T1.add_(eps).rsqrt_()
        ctx.save_for_backward(x_TD, weight_D, scale_T1)
        return (x_TD * scale_T1).mul_(weight_D)

    @staticmethod
    def backward(ctx: Any, grad_TD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None, None]:
        x_TD, weight_D, scale_T1 = ctx.saved_tensors
        normed_TD = x_TD * scale_T1
        grad_weight_D = None
        if ctx.needs_input_grad[1]:
            grad_weight_D = (grad_TD * normed_TD).flatten(0, -2).sum(0)
        weighted_TD = grad_TD * weight_D
        mean_T1 = torch.linalg.vecdot(weighted_TD, normed_TD).div_(x_TD.shape[-1]).unsqueeze(-1)
        return weighted_TD.sub_(normed_TD.mul_(mean_T1)).mul_(scale_T1), grad_weight_D, None


class PatchProjection(nn.Conv3d):
    """The tower's first layer, of patches [P, 3, 2, 14, 14] -> [P, D, 1, 1, 1]."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = _PatchProjectionFunction.apply(pixels, self.weight)
        return out


class _PatchProjectionFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pixels: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(pixels, weight)
        return functional.conv3d(pixels, weight, stride=weight.shape[2:])

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        pixels, weight = ctx.saved_tensors
        grad_PD = grad.flatten(1)
        needs_pixels, needs_weight = ctx.needs_input_grad
        return (
            (grad_PD @ weight.flatten(1)).view_as(pixels) if needs_pixels else None,
            (grad_PD.T @ pixels.flatten(1)).view_as(weight) if needs_weight else None,
        )


class LastLayer(Qwen2_5_VLDecoderLayer):
    """The decoder's last layer; its submodules are those of the layer that it replaces."""

    def forward(
        self, hidden_states: torch.Tensor, *, read_index: torch.Tensor | None = None, **kwargs: Any
    ) -> torch.Tensor:
        """Take [1, T, D]; give [1, N, D] at `read_index` (a position may come twice), [1, T, D] without one."""
        attended, _ = self.self_attn(hidden_states=self.input_layernorm(hidden_states), **kwargs)
        h_1ND = hidden_states + attended
        if read_index is not None:
            h_1ND = h_1ND.index_select(1, read_index)
        out_1ND: torch.Tensor = h_1ND + self.mlp(self.post_attention_layernorm(h_1ND))
        return out_1ND


def install_last_layer(model: Qwen2_5_VLForConditionalGeneration) -> None:
    """Replace the decoder's last layer in place, parameters kept; nothing if done before."""
    layers = model.model.language_model.layers
    stock = layers[-1]
    if isinstance(stock, LastLayer):
        return
    with torch.device("meta"):
        last = LastLayer(model.config.text_config, len(layers) - 1)
    for name, child in stock.named_children():
        setattr(last, name, child)
    layers[-1] = last.train(stock.training)


def install_fast_layers(model: PreTrainedModel) -> None:
    """Replace the layers in place, parameters kept; nothing where it was done before."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, (Qwen2_5_VLRMSNorm, Qwen2RMSNorm)):
                setattr(module, name, RmsNorm(child.weight, child.variance_epsilon).train(child.training))
            elif isinstance(child, Qwen2_5_VLAttention) and not isinstance(child, SelfAttention):
                setattr(module, name, self_attention(child))
        if isinstance(module, Qwen2_5_VisionPatchEmbed) and not isinstance(module.proj, PatchProjection):
            module.proj = _patch_projection(module.proj)


def _patch_projection(stock: nn.Conv3d) -> PatchProjection:
    assert stock.stride == stock.kernel_size
    assert stock.bias is None
    time, height, width = stock.kernel_size
    kernel = (time, height, width)
    projection = PatchProjection(stock.in_channels, stock.out_channels, kernel, kernel, bias=False, device="meta")
    projection.weight = stock.weight
    return projection.train(stock.training)
