"""How does a Llama model in a GGUF file become a Qwen2 state dict?

Weights are dequantised to float32. llama.cpp stores q and k rows of Llama models with each head's rope pairs side by
side (0, 1), (2, 3), ...; transformers wants halves (0, K/2), (1, K/2 + 1), ...: rows are put back in that order.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from gguf import GGUFReader, dequantize

from mimo_vl.errors import InputError
from mimo_vl.model.importers.llama import llama_to_qwen2
from mimo_vl.model.importers.safetensors_folder import StateDict

_TOP = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_BLOCK = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
# A tensor of frequencies that some converters add; recomputed from the configuration here.
_IGNORED = ("rope_freqs",)


def read_llama_gguf(path: Path) -> StateDict:
    """Read a `.gguf` file, or the only one in a folder."""
    reader = GGUFReader(_gguf_file(path))
    architecture = _text(reader, "general.architecture")
    if architecture != "llama":
        raise InputError(f"{path}: general.architecture is {architecture!r}, wanted 'llama'")
    heads = {
        "attn_q": _number(reader, "llama.attention.head_count"),
        "attn_k": _number(reader, "llama.attention.head_count_kv"),
    }
    state: StateDict = {}
    for tensor in reader.tensors:
        part, name = _qwen2_name(str(tensor.name))
        if part in _IGNORED:
            continue
        weight = torch.from_numpy(np.array(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32))
        state[name] = split_rope_halves(weight, heads[part]) if part in heads else weight
    return llama_to_qwen2(state)


def split_rope_halves(weight: torch.Tensor, num_heads: int) -> torch.Tensor:
    """Rows of each head from pair order [a0 b0 a1 b1 ...] to halves [a0 a1 ... b0 b1 ...]."""
    pairs = weight.unflatten(0, (num_heads, -1, 2))
    return pairs.transpose(1, 2).reshape(weight.shape).contiguous()


def _qwen2_name(gguf_name: str) -> tuple[str, str]:
    """(part, name): `blk.3.attn_q.weight` -> (attn_q, model.layers.3.self_attn.q_proj.weight)."""
    words = gguf_name.split(".")
    if words[0] in _IGNORED:
        return words[0], gguf_name
    if words[0] in _TOP:
        return words[0], f"{_TOP[words[0]]}.{words[1]}"
    if words[0] == "blk" and len(words) == 4 and words[2] in _BLOCK:
        return words[2], f"model.layers.{words[1]}.{_BLOCK[words[2]]}.{words[3]}"
    raise InputError(f"unknown GGUF tensor {gguf_name!r}; only plain Llama models can be imported")


def _gguf_file(path: Path) -> Path:
    files = [path] if path.is_file() else sorted(path.rglob("*.gguf"))
    if len(files) != 1:
        raise InputError(f"{path}: found {len(files)} .gguf files, wanted exactly 1")
    return files[0]


def _number(reader: GGUFReader, key: str) -> int:
    field = reader.get_field(key)
    if field is None:
        raise InputError(f"GGUF key {key} is missing; only Llama models can be imported")
    return int(field.contents())


def _text(reader: GGUFReader, key: str) -> str:
    field = reader.get_field(key)
    return "" if field is None else str(field.contents())
