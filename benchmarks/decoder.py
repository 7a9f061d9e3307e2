"""Packed decoder, forward and backward: attention per segment against transformers with a 4-D mask.

Ours has the layers that are trained (`mimo_vl/model/layers.py`). The baseline is transformers' own way of packing:
four-row position ids, no attention mask, no cache, SDPA; it builds a T x T mask and computes all T x T scores. Linear
layers cost the same in both, so the ratio grows with the share of attention: two widths show that, 256 (the decoder of
the `tiny` profile) and 128 (its half, four heads as well).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import numpy as np
import torch
from transformers import PreTrainedModel
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLTextModel

from benchmarks.common import NUM_REPEATS, BenchRow, faster, interleaved_medians
from mimo_vl.config.compose import compose
from mimo_vl.model.attention import TEXT_ATTENTION, register
from mimo_vl.model.configure import TokenIds, build_model_config
from mimo_vl.model.layers import install_fast_layers

MIN_DOCUMENT_TOKENS = 32
# What is promised is measured more often than what is only published.
NUM_REPEATS_OF_LIMIT = 9
TOKEN_IDS = TokenIds(image_pad=1, video_pad=2, vision_start=3, vision_end=4, end_of_turn=5, end_of_text=6)


@dataclass(frozen=True, kw_only=True)
class Point:
    """One measurement. is_even: documents of equal length; else cut at random places, at least 32 tokens each."""

    width: int
    num_tokens: int
    num_documents: int
    is_even: bool = True
    limit: float | None = None


GRID = (
    Point(width=128, num_tokens=2048, num_documents=16),
    Point(width=128, num_tokens=4096, num_documents=16),
    Point(width=128, num_tokens=8192, num_documents=64),
    Point(width=128, num_tokens=8192, num_documents=16, is_even=False),
    Point(width=128, num_tokens=8192, num_documents=16, limit=7.0),
    Point(width=256, num_tokens=8192, num_documents=64),
    Point(width=256, num_tokens=8192, num_documents=16, is_even=False),
    Point(width=256, num_tokens=8192, num_documents=16),
)


def run() -> list[BenchRow]:
    register()
    models = {width: _model(width) for width in sorted({point.width for point in GRID})}
    return [_row(models[point.width], point) for point in GRID]


def _model(width: int) -> PreTrainedModel:
    """The decoder of the `tiny` profile at this width: heads, MLP and rotary sections in proportion."""
    tiny = compose("tiny").model
    old = tiny.language
    share = width / old.hidden_size
    head_dim = int(old.head_dim * share)
    temporal, height, _ = old.mrope_section
    language = replace(
        old,
        hidden_size=width,
        head_dim=head_dim,
        intermediate_size=int(old.intermediate_size * share),
        mrope_section=(temporal, height, head_dim // 2 - temporal - height),
    )
    config = build_model_config(replace(tiny, language=language), vocab_size=2048, token_ids=TOKEN_IDS)
    torch.manual_seed(0)
    return Qwen2_5_VLTextModel(config.text_config)


def _row(stock: PreTrainedModel, point: Point) -> BenchRow:
    packed = copy.deepcopy(stock)
    install_fast_layers(packed)
    packed.config._attn_implementation = TEXT_ATTENTION
    stock.config._attn_implementation = "sdpa"
    num_tokens = point.num_tokens
    boundaries = _boundaries(point)
    lengths = np.diff(boundaries)
    ids_1T = torch.from_numpy(np.random.default_rng(1).integers(0, 2048, (1, num_tokens)))
    positions_T = torch.from_numpy(np.concatenate([np.arange(n) for n in lengths]))
    cu_seqlens = torch.from_numpy(boundaries).to(torch.int32)

    def ours() -> torch.Tensor:
        return _forward_backward(
            packed,
            ids_1T,
            positions_T.expand(3, 1, -1),
            attention_mask={"full_attention": None},
            cu_seq_lens_q=cu_seqlens,
            max_length_q=int(lengths.max()),
        )

    def baseline() -> torch.Tensor:
        return _forward_backward(stock, ids_1T, positions_T.expand(4, 1, -1), attention_mask=None)

    ours_out, ours_grad = ours(), _gradient(packed)
    base_out, base_grad = baseline(), _gradient(stock)
    equal = torch.allclose(ours_out, base_out, atol=1e-4) and torch.allclose(
        ours_grad, base_grad, atol=1e-4 * float(base_grad.abs().max())
    )
    # No speed-up can exceed the share of scores that is needed at all: half of each document's square.
    needed = float((lengths.astype(float) ** 2).sum()) / 2 / num_tokens**2
    return faster(
        f"packed decoder forward+backward, width {point.width}, {num_tokens} tokens, {point.num_documents} "
        f"{'equal' if point.is_even else 'unequal'} documents",
        interleaved_medians(ours, baseline, NUM_REPEATS if point.limit is None else NUM_REPEATS_OF_LIMIT),
        equal=bool(equal),
        note=f"4 layers, fp32, {torch.get_num_threads()} threads; {needed:.1%} of all scores are needed",
        limit=point.limit,
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


def _boundaries(point: Point) -> np.ndarray:
    num_documents = point.num_documents
    if point.is_even:
        return np.arange(num_documents + 1) * (point.num_tokens // num_documents)
    spare = point.num_tokens - num_documents * MIN_DOCUMENT_TOKENS
    cuts = np.sort(np.random.default_rng(0).integers(0, spare + 1, num_documents - 1))
    inner = cuts + MIN_DOCUMENT_TOKENS * np.arange(1, num_documents)
    return np.concatenate([[0], inner, [point.num_tokens]]).astype(np.int64)
