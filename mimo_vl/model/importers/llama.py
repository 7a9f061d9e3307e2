"""How does a Llama checkpoint become a Qwen2 one? The blocks are equal but for q/k/v biases, which are set to zero."""

from __future__ import annotations

from pathlib import Path

import torch

from mimo_vl.model.importers.safetensors_folder import StateDict, read_safetensors

_BIASED = ("q_proj.weight", "k_proj.weight", "v_proj.weight")


def read_llama(path: Path) -> StateDict:
    return llama_to_qwen2(read_safetensors(path))


def llama_to_qwen2(state: StateDict) -> StateDict:
    """Add zero biases where Qwen2 has some; drop the rotary frequencies that old checkpoints hold."""
    converted = {name: tensor for name, tensor in state.items() if not name.endswith("rotary_emb.inv_freq")}
    for name, weight in state.items():
        if name.endswith(_BIASED):
            bias_name = name.removesuffix("weight") + "bias"
            converted.setdefault(bias_name, torch.zeros(weight.shape[0], dtype=weight.dtype))
    return converted
