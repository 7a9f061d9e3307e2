"""Which tensors of a Qwen2 checkpoint become the language model? All, under their own names."""

from __future__ import annotations

from pathlib import Path

from mimo_vl.model.importers.safetensors_folder import StateDict, read_safetensors


def read_qwen2(path: Path) -> StateDict:
    return read_safetensors(path)
