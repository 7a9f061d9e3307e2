"""Readers of language-model checkpoints; each returns Qwen2 names (`model.layers.0...`, `lm_head.weight` if untied).

qwen2.py       Qwen2ForCausalLM folders (what the `base` stage writes)
llama.py       LlamaForCausalLM folders: no q/k/v biases, which become zeros
mimo_7b.py     MiMo-7B folders: Qwen2 plus multi-token-prediction layers, which are left out
llama_gguf.py  Llama models in GGUF: dequantised, interleaved q/k rope order undone
gguf_tokenizer.py  the tokenizer inside such a file
registry.py    language_source -> importer
"""
