"""Policy losses, one file each.

tokens.py          what a loss gets: the answer tokens of a micro-batch with advantage and weight per token
on_policy_grpo.py  the report's objective: no ratio, no clip, no KL
vanilla_grpo.py    the comparison: clipped ratio (MiMo-7B, "clip-higher")
registry.py        name in the configuration -> loss
"""
