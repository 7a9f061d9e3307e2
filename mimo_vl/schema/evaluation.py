"""What evaluation writes: one scored item per line, the comparison of the models, and summary.json of a run."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import ConfigDict, Field

from mimo_vl.schema.record import Record

Bounds = tuple[float, float]


class ItemStatus(StrEnum):
    """The first four are scored (all but `ok` as 0); the errors are not scored and mark a result incomplete."""

    OK = "ok"
    FORMAT_ERROR = "format_error"
    NO_OUTPUT = "no_output"
    TRUNCATED = "truncated"
    JUDGE_ERROR = "judge_error"
    GENERATION_ERROR = "generation_error"


UNSCORED = frozenset({ItemStatus.JUDGE_ERROR, ItemStatus.GENERATION_ERROR})


class ItemResult(Record):
    """One response and its verdict: a line of results/<model>/<family>.jsonl."""

    version: Literal[1] = 1
    key: str
    item_id: str
    sample_index: int
    prompt: str
    response: str
    reference: str
    scorer: str
    status: ItemStatus
    parsed: str = ""
    metrics: dict[str, float] = Field(default_factory=dict)
    num_tokens: int = 0
    reason: str = ""


class ModelScore(Record):
    """One model on one family: the headline metric with its interval, secondary metrics, counts by status."""

    value: float
    ci: Bounds
    n: int
    method: str
    metrics: dict[str, float] = Field(default_factory=dict)
    statuses: dict[str, int] = Field(default_factory=dict)
    # Mean that counts unscored items as 0; differs from `value` only if the result is incomplete.
    lower_bound: float = 0.0
    is_complete: bool = True


class FamilyComparison(Record):
    """All models on one family. `rl_minus_sft_ci` is corrected over the families by Holm."""

    name: str
    metric: str
    n: int
    models: dict[str, ModelScore]
    rl_minus_sft: float | None = None
    rl_minus_sft_ci: Bounds | None = None
    rl_minus_sft_ci_uncorrected: Bounds | None = None


class MeanReward(Record):
    """Unweighted mean over the verifiable families at temperature 1; same prompts and seeds for both models, paired.

    `unscored`: answers per model that could not be judged and are in no mean, of the models that have any.
    """

    sft: float | None = None
    rl: float | None = None
    rl_minus_sft_ci: Bounds | None = None
    rl_minus_sft: float | None = None
    n: int = 0
    families: dict[str, dict[str, float]] = Field(default_factory=dict)
    unscored: dict[str, int] = Field(default_factory=dict)


class Picture(Record):
    """A drawn prediction: what was asked, what was answered, and the verdict."""

    path: str
    family: str
    model: str
    prompt: str
    response: str
    reference: str
    score: float


class Evaluation(Record):
    """evaluation.json of stage `evaluate`."""

    version: Literal[1] = 1
    confidence: float
    models: tuple[str, ...]
    families: tuple[FamilyComparison, ...]
    mean_reward: MeanReward
    pictures: tuple[Picture, ...] = ()


class StageSummary(Record):
    """`loss_*` are means on a fixed held-out batch, None for stages without such a loss."""

    name: str
    status: str
    seconds: float | None = None
    tokens: int | None = None
    loss_first: float | None = None
    loss_last: float | None = None
    reused: bool = False
    steps: int | None = None
    tokens_per_second: float | None = None
    uri: str = ""
    digest: str = ""
    mlflow_run: str = ""


class FamilySummary(Record):
    """Scores are fractions in [0, 1]; the fields after `rl_minus_sft_ci` say how they came about."""

    name: str
    n: int
    base: float | None
    sft: float | None
    rl: float | None
    rl_minus_sft_ci: Bounds | None
    metric: str
    base_ci: Bounds | None = None
    sft_ci: Bounds | None = None
    rl_ci: Bounds | None = None
    rl_minus_sft_ci_uncorrected: Bounds | None = None
    metrics: dict[str, dict[str, float]] = Field(default_factory=dict)


class PairAccuracy(Record):
    """Share of held-out pairs in which the chosen answer scores higher; `ci` is clustered by query."""

    pairwise_accuracy: float
    ci: Bounds
    num_pairs: int
    num_queries: int


class RewardModelSummary(PairAccuracy):
    """Over all held-out pairs; `by_models`: over the pairs of two SFT answers, and of a base and an SFT answer."""

    name: str
    by_models: dict[str, PairAccuracy] = Field(default_factory=dict)


class Summary(Record):
    """summary.json. The controller completes `total_seconds`, `peak_pss_bytes` and the stages' state."""

    # A reader of a finished run accepts what a later version may add.
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    version: Literal[1] = 1
    stages: tuple[StageSummary, ...]
    families: tuple[FamilySummary, ...] = ()
    mean_reward: MeanReward = Field(default_factory=MeanReward)
    reward_models: tuple[RewardModelSummary, ...] = ()
    total_seconds: float | None = None
    peak_pss_bytes: int | None = None
