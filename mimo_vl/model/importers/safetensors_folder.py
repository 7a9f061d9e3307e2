"""How are all tensors of a Hugging Face checkpoint folder read?"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file

from mimo_vl.errors import InputError

StateDict = dict[str, torch.Tensor]


def read_safetensors(folder: Path) -> StateDict:
    """Tensors of every `*.safetensors` file in `folder` (or of the one file given), shards merged."""
    files = [folder] if folder.is_file() else sorted(folder.glob("*.safetensors"))
    if not files:
        raise InputError(f"{folder}: no *.safetensors file; give the folder of a Hugging Face checkpoint")
    state: StateDict = {}
    for file in files:
        state.update(load_file(file))
    return state
