"""Which importer reads which `model.language_source`?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mimo_vl.errors import ConfigError
from mimo_vl.model.importers.llama import read_llama
from mimo_vl.model.importers.mimo_7b import read_mimo_7b
from mimo_vl.model.importers.qwen2 import read_qwen2
from mimo_vl.model.importers.safetensors_folder import StateDict


def _read_llama_gguf(path: Path) -> StateDict:
    from mimo_vl.model.importers.llama_gguf import read_llama_gguf  # imports gguf, which only this source needs

    return read_llama_gguf(path)


IMPORTERS: dict[str, Callable[[Path], StateDict]] = {
    "base-stage": read_qwen2,
    "qwen2": read_qwen2,
    "llama": read_llama,
    "mimo-7b": read_mimo_7b,
    "llama-gguf": _read_llama_gguf,
}


def read_language_model(source: str, path: Path) -> StateDict:
    """State dict with Qwen2 names of the checkpoint at `path`."""
    if source not in IMPORTERS:
        raise ConfigError(f"model.language_source: got {source!r}, wanted one of {sorted(IMPORTERS)}")
    return IMPORTERS[source](path)
