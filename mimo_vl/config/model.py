"""Sizes of the model (report, table of section 2.1) and where its three parts come from."""

from __future__ import annotations

from typing import Literal

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt

from mimo_vl.config.fields import config


@config
class VisionConfig:
    depth: PositiveInt
    """Transformer blocks."""
    hidden_size: PositiveInt
    """Width of the residual stream."""
    num_heads: PositiveInt
    """Attention heads."""
    intermediate_size: PositiveInt
    """3456 in the report; 3420 loads Qwen2.5-VL weights."""
    patch_size: Literal[14] = 14
    """Pixels along an edge of a patch. Fixed: samples are encoded with it."""
    temporal_patch_size: Literal[2] = 2
    """Frames in a patch; fixed."""
    spatial_merge_size: Literal[2] = 2
    """Patches along an edge that the projector merges into one token; fixed."""
    window_size: PositiveInt = 112
    """Side of an attention window in pixels."""
    full_attention_blocks: tuple[NonNegativeInt, ...] = (7, 15, 23, 31)
    """Blocks with attention over the whole image; the others use windows."""
    tokens_per_second: Literal[4] = 4
    """Time index steps per second of video in mRoPE; fixed."""

    def __post_init__(self) -> None:
        if self.hidden_size % self.num_heads:
            raise ValueError(f"hidden_size {self.hidden_size} is not a multiple of num_heads {self.num_heads}")
        if self.hidden_size // self.num_heads % 4:
            # Rotary positions: a pair of sine and cosine for rows, and one for columns.
            raise ValueError(
                f"hidden_size / num_heads is {self.hidden_size // self.num_heads}, wanted a multiple of 4; change one"
            )
        token_side = self.patch_size * self.spatial_merge_size
        if self.window_size % token_side:
            raise ValueError(
                f"window_size {self.window_size} is not a multiple of a token's side of {token_side} pixels"
            )
        if any(b >= self.depth for b in self.full_attention_blocks):
            raise ValueError(f"full_attention_blocks {self.full_attention_blocks} name a block >= depth {self.depth}")


@config
class LanguageConfig:
    num_layers: PositiveInt
    """Decoder layers."""
    hidden_size: PositiveInt
    """Width of the residual stream."""
    num_heads: PositiveInt
    """Query heads."""
    num_kv_heads: PositiveInt
    """Key and value heads (grouped-query attention)."""
    head_dim: PositiveInt
    """Width of one head."""
    intermediate_size: PositiveInt
    """Width of the gated MLP."""
    vocab_size: NonNegativeInt
    """Rows of the embedding; 0 = as many as the tokenizer has."""
    rope_theta: PositiveFloat = 640000.0
    """Base of the rotary frequencies."""
    mrope_section: tuple[PositiveInt, PositiveInt, PositiveInt] = (16, 24, 24)
    """Frequency pairs for time, height, width; their sum is head_dim / 2."""
    rms_norm_eps: PositiveFloat = 1e-5
    """Epsilon of RMSNorm."""
    tie_word_embeddings: bool = False
    """One matrix for input and output embeddings."""
    max_position_embeddings: PositiveInt = 128000
    """Longest position that the model is made for."""

    def __post_init__(self) -> None:
        if self.head_dim * self.num_heads != self.hidden_size:
            raise ValueError(
                f"head_dim: got {self.head_dim} for hidden_size {self.hidden_size} and {self.num_heads} heads, wanted "
                "hidden_size / num_heads; the Qwen2.5-VL class has no free head size"
            )
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
    """Where the weights of the vision tower come from."""
    init_std: PositiveFloat = 0.02
    """Standard deviation of fresh weights (projector, and everything in `base`)."""
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    """Of weights and activations."""
