"""How long does a stage need from SIGTERM until its checkpoint is in the store? The update under way, then the bytes.

The bytes are those of training/checkpoint.py: weights and, in fp32, master copies and two moments of what trains. With
ZeRO every rank writes its shard; weights that are not sharded, and without ZeRO everything, are written by one rank.
The update takes as long as the plan says, at its share of the GPU's peak; MORL ends after a whole step, rollouts
included. Left out: evaluation and a checkpoint that are under way, and what a slow store takes beyond the bandwidth.
"""

from __future__ import annotations

from mimo_vl.training.plan_estimate import GIB, StagePlan

# From a pod's GPUs over its disk into the store: a sixth of a link of 10 Gbit/s, a small part of an NVMe disk. Where
# the store gives less, the grace period has to be longer in proportion.
SAVE_BYTES_PER_S = 200 * 2**20


def saved_gib(plan: StagePlan, *, gpus_per_pod: int) -> float:
    """What the pod with the first rank writes; no other writes more."""
    num_weights = gpus_per_pod if plan.zero_stage >= 3 else 1
    num_moments = gpus_per_pod if plan.zero_stage >= 1 else 1
    return plan.weights_gib * num_weights + plan.optimizer_gib * num_moments


def update_s(plan: StagePlan) -> float:
    return plan.gpu_hours * 3600 / (plan.gpus * plan.steps)


def saving_s(plan: StagePlan, *, gpus_per_pod: int) -> float:
    """The update under way and the bytes after it."""
    return update_s(plan) + saved_gib(plan, gpus_per_pod=gpus_per_pod) * GIB / SAVE_BYTES_PER_S
