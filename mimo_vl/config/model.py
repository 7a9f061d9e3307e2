"""Sizes of the model (report, table of section 2.1) and where its three parts come from."""

from __future__ import annotations

from typing import Literal

from mimo_vl.config.fields import config


@config
class VisionConfig:
    depth: int
    hidden_size: int
    num_heads: int
    intermediate_size: int
    """3456 in the report; 3420 loads Qwen2.5-VL weights."""
    patch_size: int = 14
    temporal_patch_size: int = 2
    spatial_merge_size: int = 2
    window_size: int = 112
    """Side of an attention window in pixels."""
    full_attention_blocks: tuple[int, ...] = (7, 15, 23, 31)
    tokens_per_second: int = 4
    """Time index steps per second of video in mRoPE."""

    def __post_init__(self) -> None:
        if self.hidden_size % self.num_heads:
            raise ValueError(f"hidden_size {self.hidden_size} is not a multiple of num_heads {self.num_heads}")
        if any(b >= self.depth for b in self.full_attention_blocks):
            raise ValueError(f"full_attention_blocks {self.full_attention_blocks} name a block >= depth {self.depth}")


@config
class LanguageConfig:
    num_layers: int
    hidden_size: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    intermediate_size: int
    vocab_size: int
    """Rows of the embedding; 0 = as many as the tokenizer has."""
    rope_theta: float = 640000.0
    mrope_section: tuple[int, int, int] = (16, 24, 24)
    """Frequency pairs for time, height, width; their sum is head_dim / 2."""
    rms_norm_eps: float = 1e-5
    tie_word_embeddings: bool = False
    max_position_embeddings: int = 128000

    def __post_init__(self) -> None:
        if sum(self.mrope_section) * 2 != self.head_dim:
            raise ValueError(
                f"mrope_section {self.mrope_section} sums to {sum(self.mrope_section)}, "
                f"wanted head_dim / 2 = {self.head_dim // 2}"
            )
        if self.num_heads % self.num_kv_heads:
            raise ValueError(f"num_heads {self.num_heads} is not a multiple of num_kv_heads {self.num_kv_heads}")


@config
class ModelConfig:
    vision: VisionConfig
    language: LanguageConfig
    language_source: Literal["base-stage", "llama-gguf", "llama", "qwen2", "mimo-7b"] = "base-stage"
    """Importer for the language model: the `base` stage's, or a checkpoint given in spec.inputs."""
    vision_source: Literal["base-stage", "qwen2_5_vl", "random"] = "base-stage"
    init_std: float = 0.02
    """Standard deviation of fresh weights (projector, and everything in `base`)."""
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
