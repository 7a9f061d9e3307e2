"""Every metric name of the platform, with its unit and what it means. Names elsewhere are taken from here.

A name is `<area>/<what>`; the area groups charts in the tracking server. Per-type metrics append `/<type>`: see `of()`.
Who exports an area: prometheus.py (stages), rewards/service/telemetry.py, operators/mimo_pipeline/pipeline_metrics.py.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from functools import cache
from typing import NamedTuple


class Kind(StrEnum):
    """Prometheus's words."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


class Metric(NamedTuple):
    name: str
    # Base units: seconds, bytes, tokens, ratio (0 to 1), 1 (a pure number).
    unit: str
    help: str
    kind: Kind = Kind.GAUGE
    # Beside those of the run (RUN_LABELS) that every exporter sets.
    labels: tuple[str, ...] = ()

    def of(self, part: str) -> str:
        """Name of this metric for one data type, reward family or rank."""
        return f"{self.name}/{part}"

    @property
    def area(self) -> str:
        return self.name.partition("/")[0]

    @property
    def prometheus_name(self) -> str:
        """Without the `_total`, `_bucket`, ... that the client appends to counters and histograms."""
        name = "mimo_" + self.name.replace("/", "_").replace("-", "_")
        needs_unit = self.unit in ("seconds", "bytes") and not name.endswith(self.unit)
        return f"{name}_{self.unit}" if needs_unit else name

    @property
    def sample_names(self) -> tuple[str, ...]:
        """What a query asks for."""
        name = self.prometheus_name
        if self.kind is Kind.COUNTER:
            return (f"{name}_total",)
        if self.kind is Kind.HISTOGRAM:
            return tuple(f"{name}_{part}" for part in ("bucket", "sum", "count"))
        return (name,)


# Labels of the run: `namespace` alone would be the scraped pod's.
NAMESPACE_LABEL, PIPELINE_LABEL, STAGE_LABEL, ATTEMPT_LABEL = "mimo_namespace", "mimo_pipeline", "stage", "attempt"
RUN_LABELS = (NAMESPACE_LABEL, PIPELINE_LABEL, STAGE_LABEL, ATTEMPT_LABEL)
# Label that carries the last part of per-type names (train/loss_by_type/ocr -> part="ocr").
PART_LABEL = "part"

LOSS = Metric("train/loss", "nats", "Mean cross-entropy per supervised token of the step, over all ranks")
LOSS_BY_TYPE = Metric("train/loss_by_type", "nats", "The same for the tokens of one data type")
HELDOUT_LOSS = Metric("train/heldout_loss", "nats", "Mean cross-entropy on the fixed held-out batch")
GRAD_NORM = Metric("train/grad_norm", "1", "Norm of the gradient before clipping")
LEARNING_RATE = Metric("train/learning_rate", "1", "Learning rate of the step, by parameter group")
TARGETS = Metric("train/targets", "tokens", "Supervised tokens of the step, all ranks together")
TOKENS = Metric("train/tokens", "tokens", "Tokens trained on since the stage began, padding excluded")
TOKENS_PER_S = Metric("train/tokens_per_s", "tokens per second", "Tokens per second, all ranks together")
PATCHES_PER_S = Metric("train/patches_per_s", "patches per second", "Vision patches per second, all ranks together")
MFU = Metric("train/mfu", "ratio", "Model FLOPs utilisation: achieved by peak FLOP/s; only where the peak is known")
PACKING_EFFICIENCY = Metric("train/packing_efficiency", "ratio", "Filled part of the rows of the step, in tokens")
TOKEN_IMBALANCE = Metric("train/token_imbalance", "1", "Tokens of the fullest rank by the mean of all; 1 = even")
PATCH_IMBALANCE = Metric("train/patch_imbalance", "1", "Vision patches of the fullest rank by the mean of all")
DATA_WAIT = Metric("train/data_wait_fraction", "ratio", "Share of the step's time spent waiting for data")

PAIRWISE_ACCURACY = Metric("reward_model/pairwise_accuracy", "ratio", "Share of pairs in which the chosen answer wins")

REWARD = Metric("rl/reward", "ratio", "Mean reward of the step's completions, in [0, 1]")
REWARD_BY_FAMILY = Metric("rl/reward_by_family", "ratio", "The same for one family")
PASS_RATE = Metric("rl/pass_rate", "ratio", "Share of the step's judged completions with full reward, of one family")
VALID_GROUPS = Metric("rl/valid_groups", "ratio", "Share of groups whose rewards differ, so that they teach something")
BATCH_GROUPS = Metric("rl/batch_groups", "1", "Groups trained on in the step; fewer than wanted = a short batch")
DROPPED_GROUPS = Metric("rl/dropped_groups", "1", "Groups dropped because a reward stayed unknown")
RESCORED_GROUPS = Metric("rl/rescored_groups", "1", "Groups scored a second time because a reward was unknown")
WAVES = Metric("rl/waves", "1", "Waves of prompts that the step needed")
POLICY_LOSS = Metric("rl/policy_loss", "1", "Value of the policy loss; only its gradient means something on-policy")
NULL_REWARDS = Metric("rl/null_rewards", "1", "Completions that could not be judged")
COMPLETION_TOKENS = Metric("rl/completion_tokens", "tokens", "Mean length of a completion")
ANSWER_TOKENS = Metric("rl/answer_tokens", "tokens", "Tokens of the responses that the step's update was computed on")
TRUNCATED = Metric("rl/truncated", "ratio", "Share of completions cut at the length limit")
LOGPROB_GAP = Metric("rl/logprob_gap", "nats", "Mean absolute difference of log-probabilities, trainer minus engine")
LOGPROB_GAP_MAX = Metric("rl/logprob_gap_max", "nats", "Largest such difference of the step")
ENTROPY = Metric("rl/entropy", "nats", "Mean entropy of the policy per generated token")
WEIGHT_VERSION = Metric("rl/weight_version", "1", "Version of the weights that generated the batch")
UPDATES = Metric("rl/updates", "1", "Updates of the policy; one more than weight_version while it is on-policy")
ROLLOUT_TIME = Metric("rl/rollout_time", "seconds", "Wall time of generation and scoring")
UPDATE_TIME = Metric("rl/update_time", "seconds", "Wall time of the policy update")

EVALUATION_SCORE = Metric("evaluation/score", "ratio", "Mean score of one model in one family, in [0, 1]")
MEAN_REWARD = Metric("evaluation/mean_reward", "ratio", "Mean reward of one model over the verifiable families")

SAMPLES_KEPT = Metric("data/samples_kept", "1", "Samples that passed every filter, by dataset")
SAMPLES_DROPPED = Metric("data/samples_dropped", "1", "Samples dropped, by reason")

STEP = Metric("stage/step", "1", "Steps that the attempt has done: optimizer steps, shards, prompts, tasks")
NUM_STEPS = Metric("stage/num_steps", "1", "Steps that it will have done in the end; 0 = not known")
START_TIME = Metric("stage/start_time", "seconds", "When the attempt's process began, since the epoch")
LAST_STEP_TIME = Metric("stage/last_step_time", "seconds", "When it last told of a step, since the epoch")

SYSTEM_CPU_PERCENT = Metric("system/cpu_utilization_percentage", "percent", "CPU use of the machine, all cores = 100")
SYSTEM_MEMORY_PERCENT = Metric("system/system_memory_usage_percentage", "percent", "Memory use of the machine")
SYSTEM_MEMORY_BYTES = Metric("system/system_memory_used", "bytes", "Memory of the machine that is not available")
SYSTEM_GPU_PERCENT = Metric("system/gpu_utilization_percentage", "percent", "Share of time in which the GPU worked")
SYSTEM_GPU_MEMORY_BYTES = Metric("system/gpu_memory_used", "bytes", "Memory of the GPU in use, by all processes")
PROCESS_PSS_BYTES = Metric("system/process_pss", "bytes", "Proportional set size of this process and its children")

_TASK = ("task",)
SCORE_RESULTS = Metric("rewards/results", "1", "Completions judged, by status", Kind.COUNTER, ("task", "status"))
SCORE_NULLS = Metric("rewards/nulls", "1", "Completions that got no reward: time-outs, failures", Kind.COUNTER, _TASK)
SCORE_TIMEOUTS = Metric("rewards/timeouts", "1", "Completions whose judge ran out of time", Kind.COUNTER, _TASK)
SCORE_VALUE = Metric("rewards/value", "ratio", "Rewards given", Kind.HISTOGRAM, _TASK)
SCORE_LATENCY = Metric("rewards/latency", "seconds", "Time that a worker took for its part", Kind.HISTOGRAM, _TASK)
SCORE_BATCH_TIME = Metric("rewards/batch_time", "seconds", "Time to answer one batch", Kind.HISTOGRAM)
SCORE_QUEUE = Metric("rewards/queue", "1", "Completions taken in and not answered yet")
SCORE_REJECTED = Metric("rewards/rejected", "1", "Calls answered with 4xx or 5xx", Kind.COUNTER, ("code",))

_PIPELINE, _STAGE = (NAMESPACE_LABEL, PIPELINE_LABEL), (NAMESPACE_LABEL, PIPELINE_LABEL, STAGE_LABEL)
PIPELINE_PHASE = Metric("pipeline/phase", "1", "1 for the phase that the pipeline is in", labels=(*_PIPELINE, "phase"))
STAGE_STATE = Metric(
    "pipeline/stage_state", "1", "1 for the state that the stage is in, and why", labels=(*_STAGE, "state", "reason")
)
STAGE_ATTEMPT = Metric("pipeline/stage_attempt", "1", "Latest attempt of the stage; 0 = none yet", labels=_STAGE)
STAGE_FAILURES = Metric("pipeline/stage_failures", "1", "Attempts that count against maxAttempts", labels=_STAGE)
STAGE_LAST_FAILURE = Metric(
    "pipeline/stage_last_failure",
    "1",
    "1 for the latest attempt that ended without success, and why; kept after a later one succeeded",
    labels=(*_STAGE, ATTEMPT_LABEL, "reason", "message"),
)
STAGE_TIME = Metric("pipeline/stage_time", "seconds", "From the stage's start until its end or now", labels=_STAGE)
STAGE_QUEUE_TIME = Metric(
    "pipeline/stage_queue_time", "seconds", "Time that its attempts were seen waiting in a queue", labels=_STAGE
)
STAGE_GPUS = Metric("pipeline/stage_gpus", "1", "GPUs that the stage's pods ask for", labels=_STAGE)
GPU_TIME = Metric("pipeline/gpu_time", "seconds", "GPUs asked for, times the time that attempts ran", labels=_STAGE)
GPU_HOUR_PRICE = Metric("pipeline/gpu_hour_price", "1", "Price of one GPU for an hour, as the settings have it")

RECONCILES = Metric("operator/reconciles", "1", "Rounds over pipelines, failed ones included", Kind.COUNTER)
CONFLICTS = Metric("operator/conflicts", "1", "Rounds ended by a newer version of the pipeline", Kind.COUNTER)
ERRORS = Metric("operator/errors", "1", "Rounds that failed", Kind.COUNTER, ("kind",))
RECONCILE_TIME = Metric("operator/reconcile_duration", "seconds", "Wall time of a round", Kind.HISTOGRAM)
QUEUE_LENGTH = Metric("operator/queue_length", "1", "Pipelines that wait for a worker or their time")
IS_LEADER = Metric("operator/leader", "1", "1 in the replica that works")
PIPELINES = Metric("operator/pipelines", "1", "Pipelines by phase", labels=("phase",))
WATCH_AGE = Metric("operator/last_watch_event_age", "seconds", "Time since the last watch event")

# Areas that the process of a stage exports. Of the others each has one exporter of its own.
STAGE_AREAS = frozenset({"train", "reward_model", "rl", "evaluation", "data", "stage", "system"})

# Names of the training loop and of manifests -> their metric. `_*`: the rest of the name is the part.
_PLAIN_NAMES = {
    "loss": LOSS,
    "loss_last": LOSS,
    "grad_norm": GRAD_NORM,
    "num_targets": TARGETS,
    "tokens_per_s": TOKENS_PER_S,
    "patches_per_s": PATCHES_PER_S,
    "mfu": MFU,
    "data_wait_fraction": DATA_WAIT,
    "pairwise_accuracy": PAIRWISE_ACCURACY,
    "reward_last": REWARD,
}
_PLAIN_PREFIXES = {"loss_": LOSS_BY_TYPE, "lr_": LEARNING_RATE}
_SPEEDS = frozenset({TOKENS_PER_S, PATCHES_PER_S, MFU, DATA_WAIT})
_AREAS_OF_THE_PROCESS = frozenset({"stage", "system"})
# Of manifests: of the first step, not the last.
_IGNORED = frozenset({"loss_first", "reward_first", "vision_loss_first", "vision_loss_last"})


def all_metrics(areas: Collection[str] = ()) -> dict[str, Metric]:
    """Name -> metric, sorted by name; of these areas, or all."""
    found = [value for value in globals().values() if isinstance(value, Metric)]
    return {metric.name: metric for metric in sorted(found) if not areas or metric.area in areas}


@cache
def declared(name: str) -> tuple[Metric, str] | None:
    """The metric that a logged value belongs to, and its part ("" = none); None for a name of no metric."""
    metrics = all_metrics()
    if name in metrics:
        return metrics[name], ""
    area, _, rest = name.partition("/")
    what, _, part = rest.partition("/")
    if part and f"{area}/{what}" in metrics:
        return metrics[f"{area}/{what}"], part
    if name in _PLAIN_NAMES:
        return _PLAIN_NAMES[name], ""
    for prefix, metric in _PLAIN_PREFIXES.items():
        if name.startswith(prefix) and name not in _IGNORED:
            return metric, name.removeprefix(prefix)
    return None


def is_of_the_machine(name: str) -> bool:
    """It says when, how fast or how busy processes were, not what came out: two runs of the same work differ in it."""
    found = declared(name)
    if found is None:
        return name.partition("/")[0] in _AREAS_OF_THE_PROCESS
    return found[0] in _SPEEDS or found[0].unit == "seconds" or found[0].area in _AREAS_OF_THE_PROCESS
