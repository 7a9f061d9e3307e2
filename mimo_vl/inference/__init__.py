"""Inference engines: prompts in, completions with log-probs out.

engine.py       the Engine protocol that rollout and evaluation use
sampling.py     how one token is drawn, and from which random number
group_cache.py  keys and values of a batch whose samples share their prompt, and the attention over them
hf_engine.py    the in-process engine on transformers
"""
