"""Tokenizer files travel with every model, so that its folder is complete for Hugging Face tools."""

from __future__ import annotations

import shutil
from pathlib import Path

_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def copy_tokenizer(source: Path, target: Path) -> None:
    """Copy them from one model or tokenizer folder into another; an optional file that is absent is left out."""
    for name in _FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)
