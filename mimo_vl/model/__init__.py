"""The model: Qwen2_5_VLForConditionalGeneration of transformers, plus what makes it correct and fast when packed.

upstream.py       what we use of transformers
configure.py      sizes -> Qwen2_5_VLConfig
assemble.py       vision tower + fresh projector + language model (importers/) -> model
checkpoint.py     save_model, load_model: Hugging Face folders
attention.py      varlen attention behind transformers' attention interface (segments.py: CPU batching)
vision_layout.py  coordinates, windows and frames of patches, cached per grid
device.py         GPU or CPU, and the type of numbers there
packed.py         RowTensors, packed_hidden_states: many samples in one row, none sees another
cross_entropy.py  chunked loss and log-probabilities; language_head.py runs them inside lm_head's call
supervised.py     supervised_loss, token_logprobs of a packed row
reward_head.py    RewardModel: trunk + scalar head
freeze.py         what trains, parameter groups, activation checkpointing per tower

Importing this package loads nothing; import the modules.
"""
