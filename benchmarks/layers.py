"""Parts of a training step that are computed in another way than transformers and torch do by default, on one thread.

Forward and backward at the sizes of `tiny`; `equal`: the same outputs and gradients up to rounding.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import nn
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import (
    Qwen2_5_VisionPatchEmbed,
    Qwen2_5_VLRMSNorm,
    apply_rotary_pos_emb,
)

from benchmarks.common import BenchRow, faster, interleaved_medians
from mimo_vl.config.training import OptimizerConfig
from mimo_vl.model.layers import install_fast_layers
from mimo_vl.model.rotary import rotate
from mimo_vl.training.optimizer import build_adamw

_NUM_TOKENS, _WIDTH, _NUM_PATCHES, _TOWER_WIDTH, _PATCH_VALUES = 1024, 256, 900, 128, 1176
_NUM_HEADS, _NUM_KV_HEADS, _HEAD_DIM = 4, 2, 64
_NUM_WEIGHTS = 2_600_000
# Calls per measurement: one takes some milliseconds.
_CALLS = 10
_TOLERANCE = 1e-5


def run() -> list[BenchRow]:
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [
            _layer("RMS norm", nn.ModuleList([Qwen2_5_VLRMSNorm(_WIDTH)]), torch.randn(_NUM_TOKENS, _WIDTH), _WIDTH),
            _layer(
                "patch embedding",
                nn.ModuleList([Qwen2_5_VisionPatchEmbed(embed_dim=_TOWER_WIDTH)]),
                torch.randn(_NUM_PATCHES, _PATCH_VALUES),
                _TOWER_WIDTH,
            ),
            _rotary_positions(),
            _adamw(),
        ]
    finally:
        torch.set_num_threads(num_threads)


def _layer(name: str, stock: nn.ModuleList, inputs: torch.Tensor, width: int) -> BenchRow:
    fast = copy.deepcopy(stock)
    install_fast_layers(fast)  # type: ignore[arg-type]
    # Pixels need no gradient, hidden states do.
    inputs.requires_grad_(inputs.shape[1] == width)
    grad = torch.randn(len(inputs), width)
    calls = [_forward_backward(layers[0], inputs, grad) for layers in (fast, stock)]
    outputs = [call() for call in calls]
    gradients = [next(layers.parameters()).grad for layers in (fast, stock)]
    equal = _is_close(*outputs) and _is_close(*gradients)
    return faster(f"{name}, forward and backward", _times(*calls), equal=equal, note=f"{_CALLS} calls, 1 thread")


def _rotary_positions() -> BenchRow:
    """Queries and keys of one layer; both ways get them as the projections leave them."""
    angles_TH = torch.arange(_NUM_TOKENS)[:, None] * torch.logspace(0, -4, _HEAD_DIM // 2)
    cos_1TK, sin_1TK = (x.repeat(1, 2)[None] for x in (angles_TH.cos(), angles_TH.sin()))
    heads = [torch.randn(1, _NUM_TOKENS, num, _HEAD_DIM, requires_grad=True) for num in (_NUM_HEADS, _NUM_KV_HEADS)]
    grads = [torch.randn(x.shape).transpose(1, 2) for x in heads]
    gradients: dict[bool, list[torch.Tensor | None]] = {}

    def call(is_ours: bool) -> list[torch.Tensor]:
        for x in heads:
            x.grad = None
        if is_ours:
            turned = [rotate(x, cos_1TK.unsqueeze(-2), sin_1TK.unsqueeze(-2)).transpose(1, 2) for x in heads]
        else:
            turned = list(apply_rotary_pos_emb(*(x.transpose(1, 2) for x in heads), cos_1TK, sin_1TK))
        torch.autograd.backward(turned, grads)
        gradients[is_ours] = [x.grad for x in heads]
        return [x.detach() for x in turned]

    pairs = [*zip(call(True), call(False), strict=True), *zip(gradients[True], gradients[False], strict=True)]
    equal = all(ours is not None and baseline is not None and torch.equal(ours, baseline) for ours, baseline in pairs)
    note = f"{_CALLS} calls, 1 thread; equal to the bit"
    return faster(
        "rotary positions, forward and backward",
        _times(lambda: call(True), lambda: call(False)),
        equal=equal,
        note=note,
    )


def _forward_backward(layer: nn.Module, inputs: torch.Tensor, grad: torch.Tensor) -> Callable[[], torch.Tensor]:
    def call() -> torch.Tensor:
        layer.zero_grad(set_to_none=True)
        inputs.grad = None
        out: torch.Tensor = layer(inputs)
        out.backward(grad)
        return out.detach()

    return call


def _adamw() -> BenchRow:
    config = OptimizerConfig()
    weights = [nn.Parameter(torch.randn(_NUM_WEIGHTS)) for _ in range(2)]
    weights[1].data.copy_(weights[0].data)
    for weight in weights:
        weight.grad = torch.ones_like(weight)
    ours = build_adamw([{"params": [weights[0]], "lr": 1e-3}], config, device=torch.device("cpu"))
    plain = torch.optim.AdamW([weights[1]], lr=1e-3, betas=(config.beta1, config.beta2), eps=config.eps)
    times = _times(ours.step, plain.step)
    note = f"{_NUM_WEIGHTS:,} weights, {_CALLS} steps, 1 thread"
    return faster("AdamW", times, equal=_is_close(*weights), note=note)


def _times(ours: Callable[[], object], baseline: Callable[[], object]) -> tuple[float, float]:
    return interleaved_medians(lambda: [ours() for _ in range(_CALLS)], lambda: [baseline() for _ in range(_CALLS)])


def _is_close(ours: torch.Tensor | None, baseline: torch.Tensor | None) -> bool:
    assert ours is not None
    assert baseline is not None
    ours, baseline = ours.detach(), baseline.detach()
    return float((ours - baseline).norm()) <= _TOLERANCE * float(baseline.norm())
