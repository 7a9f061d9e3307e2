"""Packed decoder, forward and backward: attention per segment against transformers with a 4-D mask.

The decoder is that of the `tiny` profile (4 layers, width 256). The baseline is transformers' own way of packing:
four-row position ids, no attention mask, no cache, SDPA; it builds a T x T mask and computes all T x T scores.
Documents are cut at random places, at least 32 tokens each.
"""

from __future__ import annotations

import numpy as np
import torch
from transformers import PreTrainedModel
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLTextModel

from benchmarks.common import BenchRow, faster, interleaved_medians
from mimo_vl.config.compose import compose
from mimo_vl.model.attention import TEXT_ATTENTION, register
from mimo_vl.model.configure import TokenIds, build_model_config

# (tokens, documents, promised ratio)
GRID = ((2048, 16, None), (4096, 16, None), (8192, 64, None), (8192, 16, 7.0))
MIN_DOCUMENT_TOKENS = 32
TOKEN_IDS = TokenIds(image_pad=1, video_pad=2, vision_start=3, vision_end=4, end_of_turn=5, end_of_text=6)


def run() -> list[BenchRow]:
    register()
    config = build_model_config(compose("tiny").model, vocab_size=2048, token_ids=TOKEN_IDS).text_config
    torch.manual_seed(0)
    model = Qwen2_5_VLTextModel(config)
    return [_point(model, tokens, documents, limit) for tokens, documents, limit in GRID]


def _point(model: PreTrainedModel, num_tokens: int, num_documents: int, limit: float | None) -> BenchRow:
    boundaries = _boundaries(num_tokens, num_documents)
    lengths = np.diff(boundaries)
    ids_1T = torch.from_numpy(np.random.default_rng(1).integers(0, 2048, (1, num_tokens)))
    positions_T = torch.from_numpy(np.concatenate([np.arange(n) for n in lengths]))
    cu_seqlens = torch.from_numpy(boundaries).to(torch.int32)

    def ours() -> torch.Tensor:
        model.config._attn_implementation = TEXT_ATTENTION
        return _forward_backward(
            model,
            ids_1T,
            positions_T.expand(3, 1, -1),
            attention_mask={"full_attention": None},
            cu_seq_lens_q=cu_seqlens,
            max_length_q=int(lengths.max()),
        )

    def baseline() -> torch.Tensor:
        model.config._attn_implementation = "sdpa"
        return _forward_backward(model, ids_1T, positions_T.expand(4, 1, -1), attention_mask=None)

    ours_out, ours_grad = ours(), _gradient(model)
    base_out, base_grad = baseline(), _gradient(model)
    equal = torch.allclose(ours_out, base_out, atol=1e-4) and torch.allclose(
        ours_grad, base_grad, atol=1e-4 * float(base_grad.abs().max())
    )
    # No speed-up can exceed the share of scores that is needed at all: half of each document's square.
    needed = float((lengths.astype(float) ** 2).sum()) / 2 / num_tokens**2
    return faster(
        f"packed decoder forward+backward, {num_tokens} tokens, {num_documents} documents",
        interleaved_medians(ours, baseline),
        equal=bool(equal),
        note=f"width 256, 4 layers, fp32, {torch.get_num_threads()} threads; {needed:.1%} of all scores are needed",
        limit=limit,
    )


def _forward_backward(
    model: PreTrainedModel, ids_1T: torch.Tensor, position_ids: torch.Tensor, **arguments: object
) -> torch.Tensor:
    model.zero_grad(set_to_none=True)
    output = model(input_ids=ids_1T, position_ids=position_ids, use_cache=False, **arguments).last_hidden_state
    output.square().mean().backward()
    return output.detach()


def _gradient(model: PreTrainedModel) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def _boundaries(num_tokens: int, num_documents: int) -> np.ndarray:
    spare = num_tokens - num_documents * MIN_DOCUMENT_TOKENS
    cuts = np.sort(np.random.default_rng(0).integers(0, spare + 1, num_documents - 1))
    inner = cuts + MIN_DOCUMENT_TOKENS * np.arange(1, num_documents)
    return np.concatenate([[0], inner, [num_tokens]]).astype(np.int64)
