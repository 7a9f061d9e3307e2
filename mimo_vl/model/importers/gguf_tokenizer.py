"""Which tokenizer belongs to a language model in a GGUF file? The one that the file carries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gguf import GGUFReader, TokenType

from mimo_vl.errors import InputError
from mimo_vl.processing.pretrained_tokenizer import smollm_tokenizer
from mimo_vl.processing.tokenizer import Tokenizer

# llama.cpp's names of the one kind that is read: byte-level BPE that splits text as SmolLM2 does.
_KIND = {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "smollm"}


def read_gguf_tokenizer(path: Path) -> Tokenizer:
    """Raises InputError where the file holds no tokenizer, or one of another kind."""
    reader = GGUFReader(path)
    for key, wanted in _KIND.items():
        field = reader.get_field(key)
        found = None if field is None else field.contents()
        if found != wanted:
            raise InputError(
                f"{path}: {key} is {found!r}, wanted {wanted!r}; only tokenizers of SmolLM2 can be imported"
            )
    tokens = [str(token) for token in _list(reader, "tokens", path)]
    merges = [str(merge).split(" ") for merge in _list(reader, "merges", path)]
    kinds = _list(reader, "token_type", path)
    return smollm_tokenizer(
        tokens,
        [(left, right) for left, right in merges],
        control_tokens=[token for token, kind in zip(tokens, kinds, strict=True) if kind == TokenType.CONTROL],
    )


def _list(reader: GGUFReader, name: str, path: Path) -> Sequence[object]:
    field = reader.get_field(f"tokenizer.ggml.{name}")
    if field is None:
        raise InputError(f"{path}: GGUF key tokenizer.ggml.{name} is missing; wanted a file with its tokenizer")
    return list(field.contents())
