"""Keys and values of samples that share their prompt: filled by one packed prefill, repeated per sample, then grown.

Slots of a row: [prompt, left-aligned | padding up to the longest prompt | generated tokens]. The padding is masked;
rotary positions are already inside the keys, so a gap between slots does not matter.

Shapes: N prompts, G samples per prompt, R running rows (at first N * G), K key/value heads, Q query heads, L slots,
D head size, T tokens of the packed prefill.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional

from mimo_vl.model.attention import text_attention
from mimo_vl.model.upstream import ALL_ATTENTION_FUNCTIONS

ATTENTION_NAME = "mimo_group_cache"


class GroupCache:
    """What `Qwen2_5_VLTextModel` needs of a cache (`update`), with preallocated slots."""

    def __init__(self, prompt_lengths: Sequence[int], max_new_tokens: int, num_layers: int) -> None:
        self._lengths = list(prompt_lengths)
        self._num_prompt_slots = max(prompt_lengths)
        self._num_slots = self._num_prompt_slots + max_new_tokens
        self._num_filled = self._num_prompt_slots
        self._keys: list[torch.Tensor] = [torch.empty(0)] * num_layers
        self._values: list[torch.Tensor] = [torch.empty(0)] * num_layers
        self._is_prefilled = False
        self._bias_RL = torch.empty(0)

    def update(self, k: torch.Tensor, v: torch.Tensor, layer: int, *_: object) -> tuple[torch.Tensor, torch.Tensor]:
        """Prefill: keep [1, K, T, D] per prompt and return it as is. Decode: append [R, K, 1, D], return all slots."""
        if not self._is_prefilled:
            self._keys[layer], self._values[layer] = self._unpack(k), self._unpack(v)
            return k, v
        self._keys[layer][:, :, self._num_filled] = k[:, :, 0]
        self._values[layer][:, :, self._num_filled] = v[:, :, 0]
        end = self._num_filled + 1
        return self._keys[layer][:, :, :end], self._values[layer][:, :, :end]

    def repeat_prompts(self, group_size: int) -> None:
        """After the prefill: one row per sample, with room for the tokens to come."""
        self._keys = [self._grown(x, group_size) for x in self._keys]
        self._values = [self._grown(x, group_size) for x in self._values]
        first = self._keys[0]
        lengths_R = torch.tensor(self._lengths, device=first.device).repeat_interleave(group_size)
        slots_L = torch.arange(self._num_slots, device=first.device)
        is_padding_RL = (slots_L >= lengths_R[:, None]) & (slots_L < self._num_prompt_slots)
        self._bias_RL = torch.zeros(is_padding_RL.shape, dtype=first.dtype, device=first.device)
        self._bias_RL.masked_fill_(is_padding_RL, float("-inf"))
        self._is_prefilled = True

    def decode_bias(self) -> torch.Tensor:
        """[R, 1, 1, L] additive mask of the next decode step (the slot being written included)."""
        return self._bias_RL[:, None, None, : self._num_filled + 1]

    def advance(self) -> None:
        self._num_filled += 1

    def select_rows(self, rows_R: torch.Tensor) -> None:
        """Keep only these rows (the ones still running)."""
        self._keys = [self._kept(x, rows_R) for x in self._keys]
        self._values = [self._kept(x, rows_R) for x in self._values]
        self._bias_RL = self._bias_RL[rows_R]

    def _unpack(self, x_1KTD: torch.Tensor) -> torch.Tensor:
        _, num_heads, _, size = x_1KTD.shape
        out = x_1KTD.new_zeros(len(self._lengths), num_heads, self._num_prompt_slots, size)
        for row, segment in zip(out, x_1KTD[0].split(self._lengths, dim=1), strict=True):
            row[:, : segment.shape[1]] = segment
        return out

    def _grown(self, x_NKLD: torch.Tensor, group_size: int) -> torch.Tensor:
        num_prompts, num_heads, num_slots, size = x_NKLD.shape
        out = x_NKLD.new_empty(num_prompts, group_size, num_heads, self._num_slots, size)
        out[:, :, :, :num_slots] = x_NKLD[:, None]
        return out.flatten(0, 1)

    def _kept(self, x_RKLD: torch.Tensor, rows_R: torch.Tensor) -> torch.Tensor:
        _, num_heads, num_slots, size = x_RKLD.shape
        out = x_RKLD.new_empty(len(rows_R), num_heads, num_slots, size)
        out[:, :, : self._num_filled] = x_RKLD[rows_R, :, : self._num_filled]
        return out


def group_cache_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    cu_seq_lens_q: torch.Tensor | None = None,
    max_length_q: int | None = None,
    **_: object,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Attention function of transformers: causal per prompt while prefilling, over all slots while decoding."""
    if cu_seq_lens_q is not None:
        return text_attention(
            module, query, key, value, None, scaling=scaling, cu_seq_lens_q=cu_seq_lens_q, max_length_q=max_length_q
        )
    # One new token per row: the query heads that share a key head become its query positions, so nothing is repeated.
    rows, num_query_heads, _one, size = query.shape
    grouped = query.view(rows, key.shape[1], num_query_heads // key.shape[1], size)
    out = functional.scaled_dot_product_attention(grouped, key, value, attn_mask=attention_mask, scale=scaling)
    return out.reshape(rows, 1, num_query_heads, size), None


def register_attention() -> None:
    """Make the function known to transformers under ATTENTION_NAME; calling it again changes nothing."""
    ALL_ATTENTION_FUNCTIONS.register(ATTENTION_NAME, group_cache_attention)
