"""How many floating-point operations does training take per token and per patch? Torch-free, from sizes alone.

Two operations per multiply-add, three passes (forward; backward for inputs and for weights), so 6 per weight that a
token meets; attention adds 12 * layers * width * context per token. A frozen tower below the trained part needs only
its forward: 2 per weight. Recomputed activations are not counted: MFU counts useful work.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from mimo_vl.config.model import LanguageConfig, ModelConfig, VisionConfig
from mimo_vl.config.training import Component


@dataclass(frozen=True, kw_only=True)
class ParameterCount:
    """Parameters by component. `embedding` is inside `language`: rows that a token looks up, not multiplies."""

    vision: int
    projector: int
    language: int
    embedding: int

    def of(self, component: Component) -> int:
        return {
            Component.VISION: self.vision,
            Component.PROJECTOR: self.projector,
            Component.LANGUAGE: self.language,
        }[component]

    @property
    def total(self) -> int:
        return self.vision + self.projector + self.language


@dataclass(frozen=True, kw_only=True)
class FlopCount:
    """Training operations per token of the language model and per vision patch."""

    per_token: float
    per_patch: float


def count_parameters(model: ModelConfig, *, vocab_size: int | None = None) -> ParameterCount:
    """Arithmetic of the architecture; `vocab_size` where the configuration leaves it to the tokenizer (0)."""
    vision, language = model.vision, model.language
    rows = language.vocab_size or vocab_size or 0
    embedding = rows * language.hidden_size
    merged = vision.hidden_size * vision.spatial_merge_size**2
    projector = vision.hidden_size + merged * merged + merged + merged * language.hidden_size + language.hidden_size
    return ParameterCount(
        vision=_vision_parameters(vision),
        projector=projector,
        language=language.num_layers * _language_layer(language)
        + embedding * (1 if language.tie_word_embeddings else 2)
        + language.hidden_size,
        embedding=embedding,
    )


def count_flops(
    model: ModelConfig, *, trainable: Collection[Component], context: int, vocab_size: int | None = None
) -> FlopCount:
    """`context`: tokens per sequence; a token attends to half of them on average."""
    parameters = count_parameters(model, vocab_size=vocab_size)
    language, vision = model.language, model.vision
    multiplied = parameters.language - (0 if language.tie_word_embeddings else parameters.embedding)
    width = language.num_heads * language.head_dim
    # The language model passes gradients down even when frozen: forward and backward for inputs.
    language_passes = 3 if Component.LANGUAGE in trainable else 2
    per_token = 2 * language_passes * multiplied + 4 * language_passes * language.num_layers * width * context / 2
    vision_passes = 3 if Component.VISION in trainable else 1
    merge = vision.spatial_merge_size**2
    projector_passes = 3 if Component.PROJECTOR in trainable else 2
    per_patch = 2 * vision_passes * parameters.vision + 2 * projector_passes * parameters.projector / merge
    return FlopCount(per_token=per_token, per_patch=per_patch)


def _language_layer(language: LanguageConfig) -> int:
    """Attention with biases on q, k, v; gated MLP; two norms."""
    d, heads, kv, size = language.hidden_size, language.num_heads, language.num_kv_heads, language.head_dim
    attention = d * heads * size + heads * size + 2 * (d * kv * size + kv * size) + heads * size * d
    return attention + 3 * d * language.intermediate_size + 2 * d


def _vision_parameters(vision: VisionConfig) -> int:
    """Patch embedding without bias; per layer qkv and output projection, gated MLP, all with biases; two norms."""
    d, m = vision.hidden_size, vision.intermediate_size
    layer = d * 3 * d + 3 * d + d * d + d + 3 * d * m + 2 * m + d + 2 * d
    patch = 3 * vision.temporal_patch_size * vision.patch_size**2
    return vision.depth * layer + patch * d
