"""How is a model written to and read from a Hugging Face folder?

What `save_model` writes, plain `Qwen2_5_VLForConditionalGeneration.from_pretrained` loads; same weights, same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import save_file

from mimo_vl.errors import InputError
from mimo_vl.importing import imports_refused
from mimo_vl.model.attention import use_varlen_attention
from mimo_vl.model.language_head import install_language_head
from mimo_vl.model.layers import install_fast_layers, install_last_layer
from mimo_vl.model.upstream import PreTrainedModel, Qwen2_5_VLForConditionalGeneration, transformers_logging

_MAX_SHARD_SIZE = "5GB"


def prepare_model(model: Qwen2_5_VLForConditionalGeneration) -> Qwen2_5_VLForConditionalGeneration:
    """Make a stock model ready for packed rows: varlen attention, a head that can return losses, faster layers."""
    use_varlen_attention(model)
    install_language_head(model)
    install_fast_layers(model)
    install_last_layer(model)
    return model


def save_model(
    model: Qwen2_5_VLForConditionalGeneration, folder: Path, *, state_dict: Mapping[str, torch.Tensor] | None = None
) -> None:
    """Write config.json, generation_config.json and safetensors (tokenizer files are the caller's).

    Args:
        model: the model; under sharded training give the gathered weights as `state_dict`.
        folder: created if absent; deterministic bytes.
        state_dict: full weights with the names of `model.state_dict()`, instead of the model's own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = None if state_dict is None else dict(state_dict)
    # Transformers would load DeepSpeed to see whether the model is its engine; where one is, it is loaded.
    with _without_progress_bars(), imports_refused("deepspeed"):
        model.save_pretrained(folder, state_dict=weights, max_shard_size=_MAX_SHARD_SIZE)


def load_model(folder: Path, *, dtype: torch.dtype | str = torch.float32) -> Qwen2_5_VLForConditionalGeneration:
    """Read a model that is ready for packed rows. It is in evaluation mode.

    Raises:
        InputError: no checkpoint there.
    """
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder}: no config.json; wanted a Hugging Face model folder")
    with _without_progress_bars():
        model = Qwen2_5_VLForConditionalGeneration.from_pretrained(
            folder, dtype=getattr(torch, dtype) if isinstance(dtype, str) else dtype, local_files_only=True
        )
    return prepare_model(model)


def save_vision_tower(tower: PreTrainedModel, folder: Path) -> None:
    """Write a tower without its projector: model.safetensors and config.json (what `assemble` takes)."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {k: v.detach().cpu().contiguous() for k, v in tower.state_dict().items() if not k.startswith("merger.")}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    tower.config.save_pretrained(folder)


@contextmanager
def _without_progress_bars() -> Iterator[None]:
    """Transformers draws a bar per file even into log files."""
    was_enabled = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_enabled:
            transformers_logging.enable_progress_bar()
