"""Attention per segment, whatever the grouping; stock behaviour where there are no segments."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers.vision_utils import get_vision_cu_seqlens, get_vision_position_ids, get_vision_window_index

from mimo_vl.model.attention import text_attention, vision_attention
from mimo_vl.model.checkpoint import load_model, save_model
from mimo_vl.model.segments import segment_groups
from mimo_vl.model.vision_layout import vision_layout
from tests.unit.model.builders import tiny_model

pytestmark = pytest.mark.timeout(120)

LENGTHS = {
    "one": [9],
    "equal": [5, 5, 5],
    "ones": [1, 1],
    "mixed": [3, 1, 7, 3, 2, 1],
    "long and short": [200, 3, 190, 5, 120],
    "in halves": [512, 511, 257, 256, 3],
}


@pytest.mark.parametrize("is_causal", [True, False], ids=["text", "vision"])
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS.keys())
def test_each_segment_gets_its_own_attention_and_gradient(lengths, is_causal):
    num_tokens = sum(lengths)
    generator = torch.Generator().manual_seed(0)
    num_kv_heads = 2 if is_causal else 4
    packed = [torch.randn(1, h, num_tokens, 8, generator=generator) for h in (4, num_kv_heads, num_kv_heads)]
    apart = [x.clone() for x in packed]
    for x in packed + apart:
        x.requires_grad_()
    boundaries = torch.tensor([0, *lengths]).cumsum(0)
    function = text_attention if is_causal else vision_attention
    out, _ = function(torch.nn.Module(), *packed, None, cu_seq_lens_q=boundaries, scaling=0.3)
    pieces = zip(*(x.split(lengths, dim=2) for x in apart), strict=True)
    expected = torch.cat(
        [
            scaled_dot_product_attention(q, k, v, is_causal=is_causal, scale=0.3, enable_gqa=is_causal)
            for q, k, v in pieces
        ],
        dim=2,
    ).transpose(1, 2)
    torch.testing.assert_close(out, expected, atol=1e-6, rtol=1e-5)
    weights = torch.randn(out.shape, generator=generator)
    for result in (out, expected):
        (result * weights).sum().backward()
    for ours, theirs in zip(packed, apart, strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("lengths", [[3, 1, 8], [301]], ids=["gathered", "in halves"])
def test_what_inference_left_in_the_caches_serves_training(lengths):
    packed = [torch.randn(1, h, sum(lengths), 8, requires_grad=True) for h in (4, 2, 2)]
    boundaries = torch.tensor([0, *lengths]).cumsum(0)
    with torch.inference_mode():
        text_attention(torch.nn.Module(), *packed, None, cu_seq_lens_q=boundaries)
    out, _ = text_attention(torch.nn.Module(), *packed, None, cu_seq_lens_q=boundaries)
    out.sum().backward()
    assert all(x.grad is not None for x in packed)


def test_boundaries_that_do_not_cover_the_row_are_an_error():
    x = torch.zeros(1, 2, 6, 4)
    with pytest.raises(ValueError, match="segments end at 5 but the row has 6"):
        text_attention(torch.nn.Module(), x, x, x, None, cu_seq_lens_q=torch.tensor([0, 5]))


def test_a_batch_of_rows_is_an_error():
    x = torch.zeros(2, 2, 6, 4)
    with pytest.raises(ValueError, match="batch of 2 rows"):
        text_attention(torch.nn.Module(), x, x, x, None, cu_seq_lens_q=torch.tensor([0, 6]))


def test_short_segments_share_a_group_and_long_ones_do_not_pad_short_ones():
    groups, _ = segment_groups((0, 200, 203, 393, 398, 518), allow_padding=True)
    # lengths 200, 3, 190, 5, 120: 190 >= 0.9 x 200; 120 alone; 5 and 3 together
    assert [(g.num_segments, g.length) for g in groups] == [(2, 200), (1, 120), (2, 5)]


def test_without_padding_only_equal_lengths_share_a_group():
    groups, _ = segment_groups((0, 4, 7, 11), allow_padding=False)
    assert [(g.num_segments, g.length) for g in groups] == [(2, 4), (1, 3)]


def test_greedy_generation_with_padding_equals_that_of_stock_attention(tmp_path):
    from transformers import Qwen2_5_VLForConditionalGeneration

    save_model(tiny_model(tmp_path), tmp_path / "m")
    ours = load_model(tmp_path / "m")
    stock = Qwen2_5_VLForConditionalGeneration.from_pretrained(tmp_path / "m", attn_implementation="sdpa")
    inputs = {
        "input_ids": torch.tensor([[95, 95, 7, 8, 9], [3, 4, 5, 6, 7]]),
        "attention_mask": torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]]),
    }
    arguments = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": 95}
    assert torch.equal(ours.generate(**inputs, **arguments), stock.generate(**inputs, **arguments))


GRIDS = {
    "images": [(1, 4, 6), (1, 8, 8), (1, 2, 2), (1, 18, 10)],
    "video": [(3, 4, 4), (1, 6, 6), (2, 12, 2)],
}


@pytest.mark.parametrize("grids", GRIDS.values(), ids=GRIDS.keys())
def test_cached_vision_layout_equals_that_of_transformers(grids):
    layout = vision_layout(grids, merge_size=2, window_size=112, patch_size=14)
    grid_thw = torch.tensor(grids)
    window_index, cu_window = get_vision_window_index(grid_thw, spatial_merge_size=2, window_size=112, patch_size=14)
    assert torch.equal(layout.position_ids, get_vision_position_ids(grid_thw, 2))
    assert torch.equal(layout.window_index, window_index)
    assert torch.equal(layout.cu_window_seqlens, cu_window)
    assert torch.equal(layout.cu_seqlens, get_vision_cu_seqlens(grid_thw))
    assert layout.max_seqlen == max(h * w for _, h, w in grids)
