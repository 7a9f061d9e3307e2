"""A random Qwen2.5-VL of a few thousand parameters and prompts for it, without tokenizer files."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from mimo_vl.model.checkpoint import prepare_model
from mimo_vl.processing.packed_row import EncodedSample

IMAGE, VISION_START, STOP, VOCAB = 90, 91, 5, 96


class NumberDecoder:
    def decode(self, token_ids: Sequence[int]) -> str:
        return " ".join(str(i) for i in token_ids)


def build_model(seed: int = 0, *, vocab_size: int = VOCAB, end_token: int = STOP) -> Qwen2_5_VLForConditionalGeneration:
    torch.manual_seed(seed)
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": vocab_size,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 256,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]},
            # Weights large enough that the distribution is far from uniform.
            "initializer_range": 0.3,
            "pad_token_id": 0,
        },
        vision_config={
            "depth": 2,
            "hidden_size": 16,
            "intermediate_size": 24,
            "num_heads": 2,
            "out_hidden_size": 32,
            "fullatt_block_indexes": [1],
        },
        image_token_id=IMAGE,
        video_token_id=92,
        vision_start_token_id=VISION_START,
        vision_end_token_id=93,
        tie_word_embeddings=False,
    )
    model = prepare_model(Qwen2_5_VLForConditionalGeneration(config).eval())
    model.generation_config.eos_token_id = end_token
    model.generation_config.pad_token_id = 0
    return model


def text_prompt(name: str, ids: Sequence[int]) -> EncodedSample:
    length = len(ids)
    return EncodedSample(
        id=name,
        data_type="reasoning",
        input_ids_T=np.array(ids, dtype=np.int64),
        supervised_T=np.zeros(length, dtype=bool),
        mm_types_T=np.zeros(length, dtype=np.int64),
        positions_3T=np.tile(np.arange(length, dtype=np.int64), (3, 1)),
        patches_PC=np.zeros((0, 1176), dtype=np.float32),
        grid_thw_N3=np.zeros((0, 3), dtype=np.int64),
    )


def image_prompt(name: str, model: Qwen2_5_VLForConditionalGeneration, seed: int) -> EncodedSample:
    """Two text tokens, a 2 x 3 image (merged), three text tokens; positions by transformers' own rule."""
    grid = np.array([[1, 4, 6]], dtype=np.int64)
    ids = np.array([7, VISION_START, *[IMAGE] * 6, 93, 11, 12], dtype=np.int64)
    types = (ids == IMAGE).astype(np.int64)
    positions, _ = model.model.get_rope_index(
        torch.from_numpy(ids)[None], torch.from_numpy(types)[None].int(), image_grid_thw=torch.from_numpy(grid)
    )
    return EncodedSample(
        id=name,
        data_type="counting",
        input_ids_T=ids,
        supervised_T=np.zeros(len(ids), dtype=bool),
        mm_types_T=types,
        positions_3T=positions[-3:, 0].numpy(),
        patches_PC=np.random.default_rng(seed).normal(size=(24, 1176)).astype(np.float32),
        grid_thw_N3=grid,
    )
