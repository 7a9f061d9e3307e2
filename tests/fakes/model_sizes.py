"""Sizes of the smallest model that has every part: windows and full attention, grouped heads, mRoPE sections."""

from __future__ import annotations

from mimo_vl.config.model import LanguageConfig, ModelConfig, VisionConfig


def tiny_config(*, tie: bool = True, num_layers: int = 2) -> ModelConfig:
    return ModelConfig(
        vision=VisionConfig(
            depth=2, hidden_size=32, num_heads=2, intermediate_size=48, window_size=56, full_attention_blocks=(1,)
        ),
        language=LanguageConfig(
            num_layers=num_layers,
            hidden_size=64,
            num_heads=4,
            num_kv_heads=2,
            head_dim=16,
            intermediate_size=96,
            vocab_size=0,
            rope_theta=10000.0,
            mrope_section=(2, 3, 3),
            tie_word_embeddings=tie,
            max_position_embeddings=512,
        ),
        vision_source="random",
        # Large enough that attention is far from uniform and a leak between samples shows.
        init_std=0.2,
        dtype="float32",
    )
