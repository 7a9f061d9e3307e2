"""How do a vision tower, a fresh projector and a base language model become one model?

Nothing is initialised twice: the model is laid out on the meta device, the two pretrained parts are assigned, and only
the projector (`model.visual.merger`) gets fresh weights.
"""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from mimo_vl.config.model import ModelConfig
from mimo_vl.errors import InputError
from mimo_vl.model.checkpoint import load_model, prepare_model, save_model
from mimo_vl.model.configure import (
    QWEN_TOKEN_IDS,
    TokenIds,
    build_language_config,
    build_model_config,
    build_vision_config,
)
from mimo_vl.model.importers.registry import read_language_model
from mimo_vl.model.importers.safetensors_folder import StateDict, read_safetensors
from mimo_vl.model.layers import install_fast_layers
from mimo_vl.model.upstream import (
    Qwen2_5_VisionTransformerPretrainedModel,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Config,
    Qwen2ForCausalLM,
)

__all__ = ["assemble", "build_on_meta", "fresh_language_model", "fresh_vision_tower", "load_model", "save_model"]

logger = logging.getLogger(__name__)

_ROW_TENSORS = ("model.embed_tokens.weight", "lm_head.weight")


def assemble(
    model: ModelConfig,
    *,
    vocab_size: int,
    language_path: Path,
    vision_path: Path | None,
    token_ids: TokenIds = QWEN_TOKEN_IDS,
    seed: int = 0,
) -> Qwen2_5_VLForConditionalGeneration:
    """Build the model from its parts, ready for packed rows.

    Args:
        model: sizes, sources, dtype.
        vocab_size: ids of the tokenizer; embedding rows are cut or added (mean of the old rows) to fit.
        language_path: checkpoint for `model.language_source`.
        vision_path: folder or file with the tower's safetensors (any projector in it is ignored); None only for
            `vision_source: random`.
        token_ids: special tokens of the tokenizer.
        seed: of the fresh weights.
    """
    dtype = getattr(torch, model.dtype)
    assembled = build_on_meta(build_model_config(model, vocab_size=vocab_size, token_ids=token_ids))
    parts = _language_state(model, language_path, assembled.config.text_config.vocab_size)
    parts |= _vision_state(model, assembled.config, vision_path, seed)
    parts |= _fresh_projector(assembled, model.init_std, seed)
    if model.language.tie_word_embeddings:
        parts.pop("lm_head.weight", None)
    _assign(assembled, {name: tensor.to(dtype) for name, tensor in parts.items()})
    return prepare_model(assembled)


def build_on_meta(config: Qwen2_5_VLConfig) -> Qwen2_5_VLForConditionalGeneration:
    """The model without storage: names, shapes and parameter counts at any size."""
    with torch.device("meta"):
        return Qwen2_5_VLForConditionalGeneration(config)


def fresh_vision_tower(model: ModelConfig, *, seed: int) -> Qwen2_5_VisionTransformerPretrainedModel:
    """A randomly initialised tower (projector included) in float32: what the `base` stage trains."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tower = Qwen2_5_VisionTransformerPretrainedModel(build_vision_config(model))
    install_fast_layers(tower)
    return tower


def fresh_language_model(
    model: ModelConfig, *, vocab_size: int, seed: int, token_ids: TokenIds = QWEN_TOKEN_IDS
) -> Qwen2ForCausalLM:
    """A randomly initialised plain Qwen2 model in float32: what the `base` stage trains."""
    config: Qwen2Config = build_language_config(model, vocab_size=vocab_size, token_ids=token_ids)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        language_model = Qwen2ForCausalLM(config)
    install_fast_layers(language_model)
    return language_model


def resize_rows(weight_VD: torch.Tensor, num_rows: int) -> torch.Tensor:
    """Cut rows, or add rows that equal the mean of the existing ones (a neutral guess for a token never seen)."""
    missing = num_rows - len(weight_VD)
    if missing <= 0:
        return weight_VD[:num_rows].contiguous()
    mean_1D = weight_VD.float().mean(0, keepdim=True).to(weight_VD.dtype)
    return torch.cat([weight_VD, mean_1D.expand(missing, -1)])


def _language_state(model: ModelConfig, path: Path, num_rows: int) -> StateDict:
    state = read_language_model(model.language_source, path)
    for name in _ROW_TENSORS:
        if name in state and len(state[name]) != num_rows:
            logger.info("resized %s from %d to %d rows", name, len(state[name]), num_rows)
            state[name] = resize_rows(state[name], num_rows)
    if not model.language.tie_word_embeddings:
        state.setdefault("lm_head.weight", state["model.embed_tokens.weight"].clone())
    return {
        name if name.startswith("lm_head.") else f"model.language_model.{name.removeprefix('model.')}": tensor
        for name, tensor in state.items()
    }


def _vision_state(model: ModelConfig, config: Qwen2_5_VLConfig, path: Path | None, seed: int) -> StateDict:
    if model.vision_source == "random":
        state: StateDict = dict(fresh_vision_tower(model, seed=seed).state_dict())
    elif path is None:
        raise InputError(
            f"vision_path is None but model.vision_source is {model.vision_source!r}; give its safetensors"
        )
    else:
        state = {_tower_name(name): tensor for name, tensor in read_safetensors(path).items() if _is_tower(name)}
    if f"blocks.{config.vision_config.depth}.norm1.weight" in state:
        raise InputError(f"{path}: the tower has more than model.vision.depth = {config.vision_config.depth} blocks")
    return {f"model.visual.{name}": tensor for name, tensor in state.items() if not name.startswith("merger.")}


def _is_tower(name: str) -> bool:
    # A tower alone, or the tower inside a whole Qwen2.5-VL checkpoint (old and new naming).
    return name.startswith(("patch_embed.", "blocks.", "merger.", "visual.", "model.visual."))


def _tower_name(name: str) -> str:
    return name.removeprefix("model.").removeprefix("visual.")


def _fresh_projector(assembled: Qwen2_5_VLForConditionalGeneration, init_std: float, seed: int) -> StateDict:
    """Normal matrices, zero biases, unit norm; depends on the seed and the sizes alone."""
    generator = torch.Generator().manual_seed(seed)
    state: StateDict = {}
    for name, parameter in assembled.model.visual.merger.named_parameters(prefix="model.visual.merger"):
        if parameter.dim() == 2:
            state[name] = torch.empty(parameter.shape).normal_(0.0, init_std, generator=generator)
        else:
            state[name] = torch.zeros(parameter.shape) if name.endswith("bias") else torch.ones(parameter.shape)
    return state


def _assign(assembled: Qwen2_5_VLForConditionalGeneration, state: StateDict) -> None:
    wanted = {name: p.shape for name, p in assembled.named_parameters()}
    problems = [f"missing {name}" for name in sorted(wanted.keys() - state.keys())]
    problems += [f"unexpected {name}" for name in sorted(state.keys() - wanted.keys())]
    problems += [
        f"{name}: got {tuple(tensor.shape)}, wanted {tuple(wanted[name])}"
        for name, tensor in sorted(state.items())
        if name in wanted and tensor.shape != wanted[name]
    ]
    if problems:
        raise InputError(
            f"checkpoints do not fit model sizes: {'; '.join(problems[:5])} ({len(problems)} in all); "
            "make model.vision / model.language agree with the checkpoints"
        )
    assembled.load_state_dict(state, strict=False, assign=True)
    for config in (assembled.config, assembled.config.text_config, assembled.config.vision_config):
        config.dtype = next(iter(state.values())).dtype  # what a loaded model's configuration says, too
    # Rotary frequencies are buffers that no checkpoint holds: compute them off the meta device.
    for tower, attribute in (
        (assembled.model.language_model, "rotary_emb"),
        (assembled.model.visual, "rotary_pos_emb"),
    ):
        setattr(tower, attribute, type(getattr(tower, attribute))(tower.config))
    assembled.tie_weights()
