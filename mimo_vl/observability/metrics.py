"""Every metric name of the platform, with its unit and what it means. Names elsewhere are taken from here.

A name is `<area>/<what>`; the area groups charts in the tracking server. Per-type metrics append `/<type>`: see `of()`.
"""

from __future__ import annotations

from typing import NamedTuple


class Metric(NamedTuple):
    name: str
    # Base units: seconds, bytes, tokens, ratio (0 to 1), 1 (a pure number).
    unit: str
    help: str

    def of(self, part: str) -> str:
        """Name of this metric for one data type, reward family or rank."""
        return f"{self.name}/{part}"

    @property
    def prometheus_name(self) -> str:
        name = "mimo_" + self.name.replace("/", "_").replace("-", "_")
        needs_unit = self.unit in ("seconds", "bytes") and not name.endswith(self.unit)
        return f"{name}_{self.unit}" if needs_unit else name


LOSS = Metric("train/loss", "nats", "Mean cross-entropy per supervised token of the step, over all ranks")
LOSS_BY_TYPE = Metric("train/loss_by_type", "nats", "The same for the tokens of one data type")
HELDOUT_LOSS = Metric("train/heldout_loss", "nats", "Mean cross-entropy on the fixed held-out batch")
GRAD_NORM = Metric("train/grad_norm", "1", "Norm of the gradient before clipping")
LEARNING_RATE = Metric("train/learning_rate", "1", "Learning rate of the step, largest over the parameter groups")
TOKENS = Metric("train/tokens", "tokens", "Tokens trained on since the stage began, padding excluded")
TOKENS_PER_S = Metric("train/tokens_per_s", "tokens per second", "Tokens per second, all ranks together")
PATCHES_PER_S = Metric("train/patches_per_s", "patches per second", "Vision patches per second, all ranks together")
MFU = Metric("train/mfu", "ratio", "Model FLOPs utilisation: achieved by peak FLOP/s")
DATA_WAIT = Metric("train/data_wait", "seconds", "Time the step waited for data")
STEP_TIME = Metric("train/step_time", "seconds", "Wall time of the step")

PAIRWISE_ACCURACY = Metric("reward_model/pairwise_accuracy", "ratio", "Share of pairs in which the chosen answer wins")
REWARD_MARGIN = Metric("reward_model/margin", "1", "Mean score of chosen minus rejected answers")

REWARD = Metric("rl/reward", "ratio", "Mean reward of the step's completions, in [0, 1]")
REWARD_BY_FAMILY = Metric("rl/reward_by_family", "ratio", "The same for one family")
VALID_GROUPS = Metric("rl/valid_groups", "ratio", "Share of groups whose rewards differ, so that they teach something")
BATCH_GROUPS = Metric("rl/batch_groups", "1", "Groups trained on in the step; fewer than wanted = a short batch")
DROPPED_GROUPS = Metric("rl/dropped_groups", "1", "Groups dropped because a reward stayed unknown")
RESCORED_GROUPS = Metric("rl/rescored_groups", "1", "Groups scored a second time because a reward was unknown")
WAVES = Metric("rl/waves", "1", "Waves of prompts that the step needed")
POLICY_LOSS = Metric("rl/policy_loss", "1", "Value of the policy loss; only its gradient means something on-policy")
NULL_REWARDS = Metric("rl/null_rewards", "1", "Completions that could not be judged")
COMPLETION_TOKENS = Metric("rl/completion_tokens", "tokens", "Mean length of a completion")
TRUNCATED = Metric("rl/truncated", "ratio", "Share of completions cut at the length limit")
LOGPROB_GAP = Metric("rl/logprob_gap", "nats", "Mean absolute difference of log-probabilities, trainer minus engine")
LOGPROB_GAP_MAX = Metric("rl/logprob_gap_max", "nats", "Largest such difference of the step")
ENTROPY = Metric("rl/entropy", "nats", "Mean entropy of the policy per generated token")
WEIGHT_VERSION = Metric("rl/weight_version", "1", "Version of the weights that generated the batch")
ROLLOUT_TIME = Metric("rl/rollout_time", "seconds", "Wall time of generation and scoring")
UPDATE_TIME = Metric("rl/update_time", "seconds", "Wall time of the policy update")

SCORE_REQUESTS = Metric("rewards/requests", "1", "Score requests answered, by task and status")
SCORE_LATENCY = Metric("rewards/latency", "seconds", "Time from request to result")

EVALUATION_SCORE = Metric("evaluation/score", "ratio", "Mean score of one model in one family, in [0, 1]")
MEAN_REWARD = Metric("evaluation/mean_reward", "ratio", "Mean reward of one model over the verifiable families")

SAMPLES_KEPT = Metric("data/samples_kept", "1", "Samples that passed every filter")
SAMPLES_DROPPED = Metric("data/samples_dropped", "1", "Samples dropped, by reason")

SYSTEM_CPU_PERCENT = Metric("system/cpu_utilization_percentage", "percent", "CPU use of the machine, all cores = 100")
SYSTEM_MEMORY_PERCENT = Metric("system/system_memory_usage_percentage", "percent", "Memory use of the machine")
SYSTEM_MEMORY_BYTES = Metric("system/system_memory_used", "bytes", "Memory of the machine that is not available")
PROCESS_PSS_BYTES = Metric("system/process_pss", "bytes", "Proportional set size of this process and its children")


def all_metrics() -> dict[str, Metric]:
    """Name -> metric, sorted by name."""
    found = [value for value in globals().values() if isinstance(value, Metric)]
    return {metric.name: metric for metric in sorted(found)}
