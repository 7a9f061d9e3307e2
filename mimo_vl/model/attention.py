"""How does attention stay inside its segment? Variable-length attention behind transformers' attention interface.

`varlen` (language model, causal) and `varlen_flash` (vision tower) compute attention per segment of a packed row; no
T x T mask exists. The second name contains "flash" because only then does the tower hand all segments over in one
call instead of looping over them. Without segment boundaries `varlen` is stock SDPA, so `generate` works unchanged.

On CPU, segments of like length are gathered into one batched SDPA call: a causal segment may be padded at its end for
free of mask, since no real query sees the padding. Torch's kernel computes all scores of a causal segment of up to 512
keys, those that no query sees included; from 257 on it is given in two halves, which leaves out a quarter. On GPU, in
half precision, a varlen flash kernel runs (flash_attn's if installed, else torch's).
"""

# Shapes: T tokens of the row, S segments, L length of a segment, H query heads, G key/value heads, K head width
from __future__ import annotations

import functools
import importlib.util
import itertools
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch.nn import functional

from mimo_vl.model.segments import Continuation, SegmentGroup, segment_groups
from mimo_vl.model.upstream import (
    ALL_ATTENTION_FUNCTIONS,
    ALL_MASK_ATTENTION_FUNCTIONS,
    PreTrainedModel,
    sdpa_attention_forward,
    sdpa_mask,
)

TEXT_ATTENTION = "varlen"
VISION_ATTENTION = "varlen_flash"
# What flash kernels compute in; float32 on a GPU takes the way of the CPU.
_FLASH_DTYPES = (torch.bfloat16, torch.float16)
# Lengths of causal segments that a CPU computes in halves: shorter ones gain nothing, and of longer ones torch's kernel
# leaves out blocks of 512 keys by itself.
_HALVED_LENGTHS = range(257, 513)


def register() -> None:
    """Make both names known to transformers; harmless when repeated."""
    ALL_ATTENTION_FUNCTIONS.register(TEXT_ATTENTION, text_attention)
    ALL_ATTENTION_FUNCTIONS.register(VISION_ATTENTION, vision_attention)
    # Only used without segment boundaries (generate): the mask SDPA needs for padding, None where causal suffices.
    ALL_MASK_ATTENTION_FUNCTIONS.register(TEXT_ATTENTION, sdpa_mask)


def use_varlen_attention(model: PreTrainedModel) -> None:
    """Switch a Qwen2.5-VL model to varlen attention in both towers."""
    register()
    # Set on the configuration: set_attn_implementation() would look for a kernel of that name because of "flash".
    model.config.text_config._attn_implementation = TEXT_ATTENTION
    model.config.vision_config._attn_implementation = VISION_ATTENTION


def text_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    cu_seq_lens_q: torch.Tensor | None = None,
    max_length_q: int | None = None,
    continuation: Continuation | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Take query [1, H, T, K], key and value [1, G, T, K], boundaries [S + 1]; give [1, T, H, K].

    `continuation`: which segments continue another one, and see it; None = no segment does.
    """
    if cu_seq_lens_q is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **kwargs)
    out = _varlen(
        query,
        key,
        value,
        cu_seq_lens_q,
        max_length_q,
        is_causal=True,
        scaling=scaling,
        continuation=continuation,
    )
    return out, None


def vision_attention(
    module: torch.nn.Module,  # noqa: ARG001 - the interface passes it
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,  # noqa: ARG001 - always None for the tower
    *,
    cu_seq_lens_q: torch.Tensor,
    max_length_q: int | None = None,
    scaling: float | None = None,
    **kwargs: Any,  # noqa: ARG001 - key lengths and flags that follow from the above
) -> tuple[torch.Tensor, None]:
    """All windows (or all frames) of the row in one call; every segment attends to itself in both directions."""
    return _varlen(query, key, value, cu_seq_lens_q, max_length_q, is_causal=False, scaling=scaling), None


def _varlen(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    cu_seqlens: torch.Tensor,
    max_length: int | None,
    *,
    is_causal: bool,
    scaling: float | None,
    continuation: Continuation | None = None,
) -> torch.Tensor:
    if query.shape[0] != 1:
        raise ValueError(f"varlen attention got a batch of {query.shape[0]} rows, wanted 1; pack samples into one row")
    q_THK, k_TGK, v_TGK = (x[0].transpose(0, 1) for x in (query, key, value))
    if query.is_cuda and query.dtype in _FLASH_DTYPES:
        keys = None if continuation is None else _flash_keys(continuation, query.device)
        out_THK = _flash(q_THK, k_TGK, v_TGK, cu_seqlens, max_length, is_causal=is_causal, scaling=scaling, keys=keys)
    else:
        boundaries = tuple(cu_seqlens.tolist())
        if boundaries[-1] != query.shape[2]:
            raise ValueError(f"segments end at {boundaries[-1]} but the row has {query.shape[2]} tokens")
        prefixes = () if continuation is None else continuation.prefixes
        out_THK = _grouped_sdpa(q_THK, k_TGK, v_TGK, boundaries, prefixes, is_causal=is_causal, scaling=scaling)
    return out_THK[None]


def _grouped_sdpa(
    q_THK: torch.Tensor,
    k_TGK: torch.Tensor,
    v_TGK: torch.Tensor,
    boundaries: tuple[int, ...],
    prefixes: tuple[int, ...],
    *,
    is_causal: bool,
    scaling: float | None,
) -> torch.Tensor:
    groups, restore_T = segment_groups(boundaries, allow_padding=is_causal, prefixes=prefixes)
    outs = [_group_sdpa(q_THK, k_TGK, v_TGK, group, is_causal=is_causal, scaling=scaling) for group in groups]
    if restore_T is None:
        return outs[0]
    return torch.cat(outs).index_select(0, restore_T.to(q_THK.device))


def _group_sdpa(
    q_THK: torch.Tensor,
    k_TGK: torch.Tensor,
    v_TGK: torch.Tensor,
    group: SegmentGroup,
    *,
    is_causal: bool,
    scaling: float | None,
) -> torch.Tensor:
    """Attention of the group's segments as one batch; returns its slots [S * L, H, K], padding included."""

    def batch(x_TNK: torch.Tensor, token_of_slot: torch.Tensor | None, length: int) -> torch.Tensor:
        slots = x_TNK if token_of_slot is None else x_TNK.index_select(0, token_of_slot.to(x_TNK.device))
        return slots.unflatten(0, (group.num_segments, length))

    def attend(q_SLHK: torch.Tensor, k_SLGK: torch.Tensor, v_SLGK: torch.Tensor, **mask: Any) -> torch.Tensor:
        q_SHLK, k_SGLK, v_SGLK = (x.transpose(1, 2) for x in (q_SLHK, k_SLGK, v_SLGK))
        out_SHLK = functional.scaled_dot_product_attention(
            q_SHLK, k_SGLK, v_SGLK, scale=scaling, enable_gqa=q_SHLK.shape[1] != k_SGLK.shape[1], **mask
        )
        return out_SHLK.transpose(1, 2)

    keys = group.keys
    token_of_key, key_length = (
        (group.token_of_slot, group.length) if keys is None else (keys.token_of_slot, keys.length)
    )
    q_SLHK = batch(q_THK, group.token_of_slot, group.length)
    k_SLGK, v_SLGK = (batch(x, token_of_key, key_length) for x in (k_TGK, v_TGK))
    if keys is not None:
        out_SLHK = attend(q_SLHK, k_SLGK, v_SLGK, attn_mask=keys.bias_S1QL.to(q_THK))
    elif is_causal and q_THK.is_cpu and group.length in _HALVED_LENGTHS:
        half = group.length // 2
        q1_SLHK, q2_SLHK = q_SLHK.split([half, group.length - half], dim=1)
        bias_QL = _causal_bias(group.length - half, group.length).to(q_THK)
        out1_SLHK = attend(q1_SLHK, k_SLGK[:, :half], v_SLGK[:, :half], is_causal=True)
        out_SLHK = torch.cat([out1_SLHK, attend(q2_SLHK, k_SLGK, v_SLGK, attn_mask=bias_QL)], dim=1)
    else:
        out_SLHK = attend(q_SLHK, k_SLGK, v_SLGK, is_causal=is_causal)
    return out_SLHK.flatten(0, 1)


@functools.lru_cache(maxsize=16)
@torch.inference_mode(mode=False)
def _causal_bias(num_queries: int, num_keys: int) -> torch.Tensor:
    """[Q, L]: 0 where one of the last `num_queries` of `num_keys` tokens sees a key, else -inf."""
    return torch.full((num_queries, num_keys), float("-inf")).triu_(num_keys - num_queries + 1)


def _flash(
    q_THK: torch.Tensor,
    k_TGK: torch.Tensor,
    v_TGK: torch.Tensor,
    cu_seqlens: torch.Tensor,
    max_length: int | None,
    *,
    is_causal: bool,
    scaling: float | None,
    keys: _FlashKeys | None,
) -> torch.Tensor:
    cu_seqlens = cu_seqlens.to(device=q_THK.device, dtype=torch.int32)
    if max_length is None:  # a sync: callers that know the length on the host pass it
        max_length = int((cu_seqlens[1:] - cu_seqlens[:-1]).max())
    cu_keys, max_keys = cu_seqlens, max_length
    if keys is not None:
        # A causal mask is aligned at the ends: the last query of a segment sees all of its keys, prefix included.
        k_TGK, v_TGK = k_TGK.index_select(0, keys.index), v_TGK.index_select(0, keys.index)
        cu_keys, max_keys = keys.cu_seqlens, keys.max_length
    if _has_flash_attn():
        from flash_attn import flash_attn_varlen_func

        out: torch.Tensor = flash_attn_varlen_func(
            q_THK, k_TGK, v_TGK, cu_seqlens, cu_keys, max_length, max_keys, softmax_scale=scaling, causal=is_causal
        )
        return out
    from torch.nn.attention.varlen import varlen_attn

    # A pair only if auxiliary outputs are asked for.
    flash_THK: torch.Tensor = varlen_attn(  # type: ignore[assignment]
        q_THK.contiguous(),
        k_TGK.contiguous(),
        v_TGK.contiguous(),
        cu_seqlens,
        cu_keys,
        max_length,
        max_keys,
        scale=scaling,
        window_size=(-1, 0) if is_causal else (-1, -1),
        enable_gqa=q_THK.shape[1] != k_TGK.shape[1],
    )
    return flash_THK


@dataclass(frozen=True)
class _FlashKeys:
    """Keys of all segments end to end, each with those of its prefix in front: tokens of the row, and boundaries."""

    index: torch.Tensor
    cu_seqlens: torch.Tensor
    max_length: int


@functools.lru_cache(maxsize=16)
@torch.inference_mode(mode=False)
def _flash_keys(continuation: Continuation, device: torch.device) -> _FlashKeys:
    spans = [torch.arange(start, end) for start, end in pairwise(continuation.boundaries)]
    keys = [
        span if p < 0 else torch.cat([spans[p], span]) for span, p in zip(spans, continuation.prefixes, strict=True)
    ]
    lengths = [len(span) for span in keys]
    return _FlashKeys(
        index=torch.cat(keys).to(device),
        cu_seqlens=torch.tensor([0, *itertools.accumulate(lengths)], dtype=torch.int32, device=device),
        max_length=max(lengths),
    )


@functools.cache
def _has_flash_attn() -> bool:
    return importlib.util.find_spec("flash_attn") is not None
