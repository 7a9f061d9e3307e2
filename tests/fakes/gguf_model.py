"""A tiny Llama model, with or without a tokenizer, in a GGUF file as llama.cpp's converter writes it."""

from __future__ import annotations

from pathlib import Path

import torch
from gguf import GGUFWriter, TokenType
from transformers import LlamaConfig, LlamaForCausalLM

from mimo_vl.config.model import LanguageConfig

_BLOCK = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
_TOP = {"embed_tokens": "token_embd", "norm": "output_norm"}

CONTROL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
# "\u0120" is a space in byte-level BPE.
TOKENS = (*CONTROL_TOKENS, *"0123456789:,.abcdefghijklmnopqrstuvwxyz\u010a\u0120", "re", "red", "\u0120red")
MERGES = ("r e", "re d", "\u0120 red")


def tiny_llama(language: LanguageConfig, *, vocab_size: int) -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocab_size,
            hidden_size=language.hidden_size,
            intermediate_size=language.intermediate_size,
            num_hidden_layers=language.num_layers,
            num_attention_heads=language.num_heads,
            num_key_value_heads=language.num_kv_heads,
            rms_norm_eps=language.rms_norm_eps,
            rope_parameters={"rope_type": "default", "rope_theta": language.rope_theta},
            tie_word_embeddings=True,
            initializer_range=0.2,
        )
    )


def write_llama_gguf(path: Path, llama: LlamaForCausalLM, *, pre_tokenizer: str | None = None) -> None:
    """With `pre_tokenizer` the file holds TOKENS and MERGES as well, split as that name says."""
    heads = {"attn_q": llama.config.num_attention_heads, "attn_k": llama.config.num_key_value_heads}
    writer = GGUFWriter(path, "llama")
    writer.add_head_count(heads["attn_q"])
    writer.add_head_count_kv(heads["attn_k"])
    if pre_tokenizer is not None:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(pre_tokenizer)
        writer.add_token_list(list(TOKENS))
        writer.add_token_types([TokenType.CONTROL if t in CONTROL_TOKENS else TokenType.NORMAL for t in TOKENS])
        writer.add_token_merges(list(MERGES))
    for name, tensor in llama.state_dict().items():
        words = name.removeprefix("model.").removesuffix(".weight").split(".", 2)
        if words[0] == "layers":
            part = _BLOCK[words[2]]
            weight = _interleave(tensor, heads[part]) if part in heads else tensor
            writer.add_tensor(f"blk.{words[1]}.{part}.weight", weight.contiguous().numpy())
        elif words[0] != "lm_head":  # tied
            writer.add_tensor(f"{_TOP[words[0]]}.weight", tensor.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _interleave(weight: torch.Tensor, num_heads: int) -> torch.Tensor:
    """The order in which llama.cpp stores q and k of Llama models (the inverse of split_rope_halves)."""
    return weight.unflatten(0, (num_heads, 2, -1)).transpose(1, 2).reshape(weight.shape)
