"""How many floating-point operations does training take per token, attended pair and patch? Torch-free.

Two operations per multiply-add, three passes (forward; backward for inputs and for weights), so 6 per weight that a
token meets; attention adds 12 * layers * width per pair of a token and one that it attends to, in its own document
alone. A frozen tower below the trained part needs only its forward: 2 per weight. Recomputed activations are not
counted: MFU counts useful work. Left out: attention inside the vision tower.
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
    """Training operations per token of the language model, per attended pair and per vision patch."""

    per_token: float
    per_pair: float
    per_patch: float

    def total(self, *, num_tokens: float, num_pairs: float, num_patches: float) -> float:
        """`num_pairs`: see `causal_pairs`."""
        return num_tokens * self.per_token + num_pairs * self.per_pair + num_patches * self.per_patch


def causal_pairs(num_tokens: float, *, document_length: float) -> float:
    """Pairs of a token and one that it attends to, itself included, in documents of that many tokens."""
    return num_tokens * (document_length + 1) / 2


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
    model: ModelConfig,
    *,
    trainable: Collection[Component],
    has_language_head: bool = True,
    vocab_size: int | None = None,
) -> FlopCount:
    """`has_language_head` False for reward models, whose tokens never meet the output embedding."""
    parameters = count_parameters(model, vocab_size=vocab_size)
    language, vision = model.language, model.vision
    num_matrices = (1 if language.tie_word_embeddings else 2) - (1 if has_language_head else 0)
    multiplied = parameters.language - num_matrices * parameters.embedding
    # The language model passes gradients down even when frozen: forward and backward for inputs.
    language_passes = 3 if Component.LANGUAGE in trainable else 2
    # Attention has no weights of its own: backward is two passes, whatever trains.
    per_pair = 3 * 4 * language.num_layers * language.num_heads * language.head_dim
    vision_passes = 3 if Component.VISION in trainable else 1
    merge = vision.spatial_merge_size**2
    projector_passes = 3 if Component.PROJECTOR in trainable else (2 if Component.VISION in trainable else 1)
    per_patch = 2 * vision_passes * parameters.vision + 2 * projector_passes * parameters.projector / merge
    return FlopCount(per_token=2 * language_passes * multiplied, per_pair=per_pair, per_patch=per_patch)


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
