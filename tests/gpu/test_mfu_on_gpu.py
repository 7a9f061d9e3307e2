"""Share of the GPU's peak that a 7B-shaped decoder block reaches on packed rows (model FLOPs utilisation)."""

from __future__ import annotations

import dataclasses
import logging
import time

import pytest
import torch
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLTextModel

from mimo_vl.config.compose import compose
from mimo_vl.config.training import Component
from mimo_vl.model.attention import TEXT_ATTENTION, register
from mimo_vl.model.configure import build_model_config
from mimo_vl.training.flops import causal_pairs, count_flops

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(300)]

logger = logging.getLogger(__name__)

NUM_TOKENS, NUM_DOCUMENTS, NUM_REPEATS = 8192, 8, 10
# Dense bf16 peak in TFLOP/s by substring of the device name.
PEAK_TFLOPS = {"H200": 989.0, "H100": 989.0, "A100": 312.0, "L40": 181.0}
MIN_UTILISATION = 0.3


def test_a_7b_block_reaches_a_third_of_the_peak():
    name = torch.cuda.get_device_name()
    peak = next((tflops for part, tflops in PEAK_TFLOPS.items() if part in name), None)
    if peak is None:
        pytest.skip(f"no peak figure for {name}; add it to PEAK_TFLOPS")
    register()
    profile = compose("mimo_vl_7b").model
    one_block = dataclasses.replace(profile, language=dataclasses.replace(profile.language, num_layers=1))
    config = build_model_config(one_block, vocab_size=151_665).text_config
    config._attn_implementation = TEXT_ATTENTION
    config.vocab_size = 8  # embeddings come ready made; only the block is measured
    config.bos_token_id = config.eos_token_id = None
    with torch.device("cuda"):
        model = Qwen2_5_VLTextModel(config).to(torch.bfloat16).train()
    h_1TD = torch.randn(1, NUM_TOKENS, config.hidden_size, device="cuda", dtype=torch.bfloat16, requires_grad=True)
    length = NUM_TOKENS // NUM_DOCUMENTS
    arguments = {
        "inputs_embeds": h_1TD,
        "position_ids": torch.arange(length, device="cuda").repeat(NUM_DOCUMENTS).expand(3, 1, -1),
        "attention_mask": {"full_attention": None},
        "use_cache": False,
        "cu_seq_lens_q": torch.arange(0, NUM_TOKENS + 1, length, device="cuda", dtype=torch.int32),
        "max_length_q": length,
    }

    def step() -> None:
        model(**arguments).last_hidden_state.sum().backward()

    for _ in range(3):
        step()
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(NUM_REPEATS):
        step()
    torch.cuda.synchronize()
    seconds = (time.perf_counter() - start) / NUM_REPEATS
    weights = sum(p.numel() for p in model.layers.parameters())
    # 6 per weight and token; attention as in training, in documents that do not see each other.
    per_pair = count_flops(one_block, trainable=tuple(Component)).per_pair
    flops = NUM_TOKENS * 6 * weights + causal_pairs(NUM_TOKENS, document_length=length) * per_pair
    utilisation = flops / seconds / (peak * 1e12)
    logger.info("7B block on %s: %.1f ms, MFU %.1f %%", name, seconds * 1e3, utilisation * 100)
    assert utilisation > MIN_UTILISATION
