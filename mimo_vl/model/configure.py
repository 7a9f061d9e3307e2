"""Which transformers configuration do the sizes in `ModelConfig` mean?

The model is `Qwen2_5_VLForConditionalGeneration`, so the released MiMo-VL checkpoints load and vLLM serves ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mimo_vl.config.model import LanguageConfig, ModelConfig
from mimo_vl.errors import ConfigError
from mimo_vl.model.upstream import Qwen2_5_VLConfig, Qwen2_5_VLVisionConfig, Qwen2Config


@dataclass(frozen=True, kw_only=True)
class TokenIds:
    """Ids of the special tokens that the model's code or generation needs (defaults: the Qwen2.5 vocabulary)."""

    image_pad: int = 151655
    video_pad: int = 151656
    vision_start: int = 151652
    vision_end: int = 151653
    end_of_turn: int = 151645
    end_of_text: int = 151643

    @classmethod
    def from_lookup(cls, token_to_id: Callable[[str], int | None]) -> TokenIds:
        """Look the Qwen names up, e.g. with `tokenizer.convert_tokens_to_ids`."""
        names = {
            "image_pad": "<|image_pad|>",
            "video_pad": "<|video_pad|>",
            "vision_start": "<|vision_start|>",
            "vision_end": "<|vision_end|>",
            "end_of_turn": "<|im_end|>",
            "end_of_text": "<|endoftext|>",
        }
        ids = {field: token_to_id(token) for field, token in names.items()}
        missing = [names[field] for field, token_id in ids.items() if token_id is None]
        if missing:
            raise ConfigError(f"tokenizer: special tokens {missing} are missing; add them before the model is built")
        return cls(**{field: int(token_id) for field, token_id in ids.items() if token_id is not None})


QWEN_TOKEN_IDS = TokenIds()


def build_model_config(
    model: ModelConfig, *, vocab_size: int, token_ids: TokenIds = QWEN_TOKEN_IDS
) -> Qwen2_5_VLConfig:
    """Configuration of the assembled model.

    Args:
        model: sizes. `language.vocab_size` rows are made if it is not 0.
        vocab_size: number of ids the tokenizer can produce; the rows of the embedding if `language.vocab_size` is 0.
        token_ids: ids of the special tokens in that tokenizer.
    """
    text = {
        **_language_values(model.language, vocab_rows(model, vocab_size), model.init_std),
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": model.language.rope_theta,
            "mrope_section": list(model.language.mrope_section),
        },
        "bos_token_id": token_ids.end_of_text,
        "eos_token_id": token_ids.end_of_turn,
        "use_cache": True,
    }
    return Qwen2_5_VLConfig(
        text_config=text,
        vision_config=build_vision_config(model),
        image_token_id=token_ids.image_pad,
        video_token_id=token_ids.video_pad,
        vision_start_token_id=token_ids.vision_start,
        vision_end_token_id=token_ids.vision_end,
        tie_word_embeddings=model.language.tie_word_embeddings,
        initializer_range=model.init_std,
    )


def build_vision_config(model: ModelConfig) -> Qwen2_5_VLVisionConfig:
    """Configuration of the vision tower alone (projector included: it widens to the language model's size)."""
    vision = model.vision
    return Qwen2_5_VLVisionConfig(
        depth=vision.depth,
        hidden_size=vision.hidden_size,
        num_heads=vision.num_heads,
        intermediate_size=vision.intermediate_size,
        patch_size=vision.patch_size,
        temporal_patch_size=vision.temporal_patch_size,
        spatial_merge_size=vision.spatial_merge_size,
        window_size=vision.window_size,
        fullatt_block_indexes=list(vision.full_attention_blocks),
        tokens_per_second=vision.tokens_per_second,
        out_hidden_size=model.language.hidden_size,
        initializer_range=model.init_std,
    )


def build_language_config(model: ModelConfig, *, vocab_size: int, token_ids: TokenIds = QWEN_TOKEN_IDS) -> Qwen2Config:
    """Configuration of the language model alone, as a plain Qwen2 checkpoint (the `base` stage trains one)."""
    return Qwen2Config(
        **_language_values(model.language, vocab_rows(model, vocab_size), model.init_std),
        rope_parameters={"rope_type": "default", "rope_theta": model.language.rope_theta},
        tie_word_embeddings=model.language.tie_word_embeddings,
        bos_token_id=token_ids.end_of_text,
        eos_token_id=token_ids.end_of_turn,
    )


def vocab_rows(model: ModelConfig, vocab_size: int) -> int:
    """Rows of the embedding; never fewer than the tokenizer has ids."""
    rows = model.language.vocab_size or vocab_size
    if rows < vocab_size:
        raise ConfigError(f"model.language.vocab_size: got {rows}, wanted 0 or at least the tokenizer's {vocab_size}")
    return rows


def _language_values(language: LanguageConfig, rows: int, init_std: float) -> dict[str, int | float]:
    return {
        "vocab_size": rows,
        "hidden_size": language.hidden_size,
        "intermediate_size": language.intermediate_size,
        "num_hidden_layers": language.num_layers,
        "num_attention_heads": language.num_heads,
        "num_key_value_heads": language.num_kv_heads,
        "max_position_embeddings": language.max_position_embeddings,
        "rms_norm_eps": language.rms_norm_eps,
        "initializer_range": init_std,
    }
