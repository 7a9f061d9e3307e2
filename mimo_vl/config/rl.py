"""Curation of RL data and mixed on-policy RL (report 3; undisclosed values from the reference table)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from mimo_vl.config.fields import config, unhashed
from mimo_vl.config.training import CheckpointConfig, OptimizerConfig
from mimo_vl.vocabulary import RlFamily


@config
class CurateRlConfig:
    rollouts_per_prompt: PositiveInt = 8
    """Answers of the SFT model from which the pass rate of a prompt is measured."""
    max_pass_rate: float = Field(default=0.9, gt=0, le=1)
    """Prompts that the SFT model solves more often are dropped (report 3.1)."""
    min_prompts_per_family: NonNegativeInt = 64
    """With fewer left, prompts that were never solved are kept after all, then the least easy ones."""
    answers_per_query: PositiveInt = 4
    """Preference answers sampled from the SFT model."""
    base_answers_per_query: NonNegativeInt = 1
    """And from the base model: clearly worse ones, which anchor the scale of scores."""
    max_pairs_per_query: PositiveInt = 6
    """Preference pairs taken from the ranked answers of one query."""
    heldout_pair_fraction: float = Field(default=0.25, gt=0, lt=1)
    """Share of the queries whose pairs test the reward models."""
    max_new_tokens: PositiveInt = 48
    """Length at which an answer is cut."""
    answers_at_once: PositiveInt = 192
    """Answers that an engine writes together, rounded down to whole prompts, at least one prompt's: keys and values of
    each are reserved for `max_new_tokens`."""
    temperature: PositiveFloat = 1.0
    """Of the sampled answers."""
    num_workers: PositiveInt = unhashed(1)
    """Processes that answer, each with its share of the cores; results do not depend on it. With a GPU: 1."""


@config
class RlConfig:
    loss: Literal["on_policy_grpo", "vanilla_grpo"] = "on_policy_grpo"
    """`on_policy_grpo` is the report's equation 1; `vanilla_grpo` clips ratios over several updates."""
    updates_per_rollout: PositiveInt = 1
    """1 is fully on-policy; more is only allowed with vanilla_grpo."""
    clip_low: float = Field(default=0.2, gt=0, lt=1)
    """vanilla_grpo only: the ratio is clipped below 1 - clip_low."""
    clip_high: PositiveFloat = 0.28
    """vanilla_grpo only: ratio clip, "clip-higher" (MiMo-7B)."""
    family_weights: dict[RlFamily, float]
    """Share of the prompts of each family; they are normalised. Families without a weight are not curated either."""
    prompts_per_step: PositiveInt = 512
    """B: valid groups per update."""
    group_size: int = 16
    """G: completions per prompt."""
    max_waves: PositiveInt = 3
    """Waves of prompts per step before a short batch is accepted and logged."""
    min_group_std: NonNegativeFloat = 1e-4
    """Groups whose rewards spread less carry no signal and are filtered."""
    easy_pool_probability: float = Field(default=0.1, ge=0, le=1)
    """Share of launches drawn from the prompts that were always solved (MiMo-7B)."""
    easy_reward: float = Field(default=0.999, ge=0, le=1)
    """A prompt whose worst answer reaches this reward moves to the easy pool."""
    num_steps: PositiveInt = 100
    """Policy updates of the stage."""
    lr: PositiveFloat = 1e-6
    """Peak learning rate of the policy."""
    warmup_steps: NonNegativeInt = 0
    """Steps of linear warm-up."""
    temperature: PositiveFloat = 1.0
    """Of rollouts."""
    top_p: float = 1.0
    """Must be 1: the update needs the log-prob under the whole distribution."""
    max_new_tokens: PositiveInt = 32768
    """Length at which a rollout is cut."""
    answers_at_once: PositiveInt = 192
    """Rollouts that an engine writes together, rounded down to whole groups, at least one group: keys and values of
    each are reserved for `max_new_tokens` (`mimo plan` shows what that takes)."""
    token_normalisation: Literal["group", "batch"] = "group"
    """Equation 1 divides by the tokens of the group; `batch` is DAPO's choice."""
    train_vision: bool = True
    """Whether the vision tower learns too."""
    logprob_mismatch_alarm: PositiveFloat = 0.05
    """Mean |log p (trainer) - log p (engine)| above which an alarm is logged."""
    num_rollout_workers: PositiveInt = 1
    """Rollout actors, each with a copy of the policy."""
    num_trainer_workers: PositiveInt = 1
    """Ranks that update the policy."""
    zero_stage: Literal[0, 1, 2, 3] = 1
    """ZeRO stage of the policy trainer."""
    num_micro_batches: PositiveInt = 4
    """Packed rows that a trainer worker cuts its share of an update into; more rows need less memory."""
    checkpoint_language: bool = False
    """Activation checkpointing of the policy's language model: long answers do not fit without it."""
    checkpoint_vision: bool = False
    """The same for its vision tower."""
    optimizer: OptimizerConfig = Field(default_factory=OptimizerConfig)
    checkpoint: CheckpointConfig = Field(default_factory=CheckpointConfig)
    call_timeout_s: PositiveFloat = unhashed(1800.0)
    """Deadline of one call to a rollout or trainer process; also of their start."""
    object_store_bytes: PositiveInt = unhashed(200 * 1024 * 1024)
    """Shared memory of the local Ray: a few versions of the weights. A cluster sets its own."""
    log_rollouts: NonNegativeInt = 4
    """Groups per step written to the rollout log."""

    def __post_init__(self) -> None:
        if self.loss == "on_policy_grpo" and self.updates_per_rollout != 1:
            raise ValueError(
                f"updates_per_rollout is {self.updates_per_rollout}, but on_policy_grpo makes exactly 1 update per "
                "rollout; choose loss: vanilla_grpo for more"
            )
        if self.top_p != 1.0:
            raise ValueError(
                f"top_p is {self.top_p}, wanted 1.0: the update needs the log-prob of every token under the whole "
                "distribution"
            )
        if not any(weight > 0 for weight in self.family_weights.values()) or min(self.family_weights.values()) < 0:
            raise ValueError(f"family_weights {self.family_weights} need a positive weight and no negative one")
        if self.group_size < 2:
            raise ValueError(f"group_size is {self.group_size}, wanted at least 2: the advantage compares a group")

    @property
    def families(self) -> tuple[RlFamily, ...]:
        """Those with a positive weight."""
        return tuple(family for family in RlFamily if self.family_weights.get(family, 0.0) > 0)
