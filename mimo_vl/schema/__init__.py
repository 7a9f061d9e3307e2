"""Records that cross a process boundary: versioned, validated, unknown field = error.

sample.py           one training or evaluation item: chat messages, media references, reference answer
rollout.py          prompts, sampling parameters and completions of the inference engines
reward.py           the HTTP contract of the reward service
manifest.py         what an artifact consists of; claims, exit records, progress
verdict.py          how an attempt ended without an output
environment.py      by which variables a controller tells a stage process what to do
ray_environment.py  what every process of Ray finds in its environment
"""
