"""How are queries and keys of the decoder turned by their positions?

Rotary positions (Su et al. 2021; multimodal sections as in Qwen2.5-VL): of a head's two halves (a, b) and angles t,
(a cos t - b sin t, b cos t + a sin t). The stock way builds rotate_half(x) and multiplies whole heads, and autograd
undoes each of these steps by itself; this one adds to halves in place, in the forward and in the backward, whose
rotation is by -t. The same products and sums: equal to the bit.
"""

# Shapes: B rows, T tokens, N heads, K head width, D width
from __future__ import annotations

from typing import Any

import torch

from mimo_vl.model.upstream import ALL_ATTENTION_FUNCTIONS, Qwen2_5_VLAttention, eager_attention_forward


class SelfAttention(Qwen2_5_VLAttention):
    """The decoder's attention with its rotation in one step; its submodules are those of the layer it replaces."""

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        past_key_values: Any | None = None,
        position_embeddings: tuple[torch.Tensor, torch.Tensor] | None = None,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Take [B, T, D], and (cos, sin) of [B, T, K]; give [B, T, D] and what the attention says of its weights."""
        assert position_embeddings is not None
        cos_BT1K, sin_BT1K = (x.unsqueeze(-2) for x in position_embeddings)
        heads = (*hidden_states.shape[:-1], -1, self.head_dim)
        q_BTNK, k_BTNK, v_BTNK = (p(hidden_states).view(heads) for p in (self.q_proj, self.k_proj, self.v_proj))
        q_BNTK, k_BNTK = (rotate(x, cos_BT1K, sin_BT1K).transpose(1, 2) for x in (q_BTNK, k_BTNK))
        v_BNTK = v_BTNK.transpose(1, 2)
        if past_key_values is not None:
            k_BNTK, v_BNTK = past_key_values.update(k_BNTK, v_BNTK, self.layer_idx)
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, eager_attention_forward)
        out_BTNK, weights = attend(
            self,
            q_BNTK,
            k_BNTK,
            v_BNTK,
            attention_mask,
            dropout=self.attention_dropout if self.training else 0.0,
            scaling=self.scaling,
            sliding_window=self.sliding_window,
            **kwargs,
        )
        return self.o_proj(out_BTNK.reshape(hidden_states.shape)), weights


def self_attention(stock: Qwen2_5_VLAttention) -> SelfAttention:
    """The same layer, parameters kept."""
    with torch.device("meta"):
        ours = SelfAttention(stock.config, stock.layer_idx)
    for name, child in stock.named_children():
        setattr(ours, name, child)
    return ours.train(stock.training)


def rotate(x_BTNK: torch.Tensor, cos_BT1K: torch.Tensor, sin_BT1K: torch.Tensor) -> torch.Tensor:
    """Turn each head; cos and sin repeat their first half, and get no gradient."""
    turned_BTNK: torch.Tensor = _Rotation.apply(x_BTNK, cos_BT1K, sin_BT1K)
    return turned_BTNK


class _Rotation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_BTNK: torch.Tensor, cos_BT1K: torch.Tensor, sin_BT1K: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(cos_BT1K, sin_BT1K)
        return _turned(x_BTNK, cos_BT1K, sin_BT1K, is_backward=False)

    @staticmethod
    def backward(ctx: Any, grad_BTNK: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return _turned(grad_BTNK, *ctx.saved_tensors, is_backward=True), None, None


def _turned(x_BTNK: torch.Tensor, cos_BT1K: torch.Tensor, sin_BT1K: torch.Tensor, *, is_backward: bool) -> torch.Tensor:
    out_BTNK = x_BTNK * cos_BT1K
    (a, b), (a_out, b_out) = x_BTNK.chunk(2, dim=-1), out_BTNK.chunk(2, dim=-1)
    sin_BT1H = sin_BT1K[..., : a.shape[-1]]
    if is_backward:
        a_out.add_(b * sin_BT1H)
        b_out.sub_(a * sin_BT1H)
    else:
        a_out.sub_(b * sin_BT1H)
        b_out.add_(a * sin_BT1H)
    return out_BTNK
