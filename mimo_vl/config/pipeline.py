"""The whole configuration of a pipeline, and the part of it that one stage's result depends on."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, Field, NonNegativeInt

from mimo_vl.canonical import canonical_json
from mimo_vl.config.data import DataConfig
from mimo_vl.config.evaluation import EvaluationConfig
from mimo_vl.config.fields import config
from mimo_vl.config.model import ModelConfig
from mimo_vl.config.observability import ObservabilityConfig
from mimo_vl.config.processing import ProcessingConfig
from mimo_vl.config.rewards import RewardsConfig
from mimo_vl.config.rl import CurateRlConfig, RlConfig
from mimo_vl.config.storage import StorageConfig, TrackingConfig
from mimo_vl.config.training import BaseStageConfig, RewardModelConfig, StageConfig
from mimo_vl.vocabulary import PRETRAINING_STAGES, REWARD_MODEL_STAGES, DataType, EvaluationTask, RlFamily, StageName

Weighted = TypeVar("Weighted", DataType, RlFamily)


def _one_of(names: Sequence[StageName]) -> BeforeValidator:
    def check(name: str) -> str:
        if name not in names:
            raise ValueError(f"wanted one of {', '.join(names)}")
        return name

    return BeforeValidator(check)


PretrainingStage = Annotated[StageName, _one_of(PRETRAINING_STAGES)]
RewardModelStage = Annotated[StageName, _one_of(REWARD_MODEL_STAGES)]


@config
class PipelineConfig:
    profile: str
    """Name of the profile that these values came from."""
    seed: NonNegativeInt
    """Everything random is drawn from it."""
    model: ModelConfig
    processing: ProcessingConfig
    data: DataConfig
    base: BaseStageConfig | None
    """None where tokenizer, ViT and language model come as spec.inputs."""
    stages: dict[PretrainingStage, StageConfig]
    reward_models: dict[RewardModelStage, RewardModelConfig]
    curate_rl: CurateRlConfig
    rewards: RewardsConfig
    rl: RlConfig
    evaluation: EvaluationConfig
    storage: StorageConfig
    tracking: TrackingConfig
    observability: ObservabilityConfig = Field(default_factory=ObservabilityConfig)

    def __post_init__(self) -> None:
        if set(self.stages) != set(PRETRAINING_STAGES):
            raise ValueError(f"stages are {sorted(self.stages)}, wanted exactly {sorted(PRETRAINING_STAGES)}")
        if set(self.reward_models) != set(REWARD_MODEL_STAGES):
            raise ValueError(f"reward_models are {sorted(self.reward_models)}, wanted {sorted(REWARD_MODEL_STAGES)}")
        self._check_sources()
        self._check_samples()
        self._check_custom()

    def _check_sources(self) -> None:
        """The `base` stage makes the vision tower, and the language model or takes the packaged one."""
        model = self.model
        if self.base is None:
            if "base-stage" in (model.language_source, model.vision_source):
                raise ValueError("model.language_source or vision_source is base-stage but section `base` is null")
            return
        if model.language_source not in ("base-stage", "llama-gguf") or model.vision_source != "base-stage":
            raise ValueError(
                f"model.language_source is {model.language_source} and vision_source {model.vision_source}, which the "
                "`base` stage cannot make: it makes base-stage, and takes llama-gguf as language model; set base=null "
                "and give the models as input `base`"
            )

    def _check_samples(self) -> None:
        """What is drawn from must hold something. Where curated datasets are an input, nobody knows yet."""
        synthesis = self.data.synthesis
        if synthesis is None:
            return
        for name, stage in self.stages.items():
            for data_type in _positive(stage.mixture):
                for field in ("samples_per_type", "heldout_per_type"):
                    if data_type is not DataType.CUSTOM and not getattr(synthesis, field).get(data_type):
                        raise ValueError(
                            f"stages.{name}.mixture.{data_type} is positive but data.synthesis.{field}.{data_type} is "
                            "0 or missing; give it samples or take the weight away"
                        )
        for family in self.rl.families:
            if family is not RlFamily.CUSTOM and not synthesis.rl_prompts_per_family.get(family):
                raise ValueError(
                    f"rl.family_weights.{family} is positive but data.synthesis.rl_prompts_per_family.{family} is 0 "
                    "or missing; give it prompts or take the weight away"
                )

    def _check_custom(self) -> None:
        """Own data, and the rule that judges them, where a value asks for them."""
        judged = (
            ["rl.family_weights.custom is positive"] if RlFamily.CUSTOM in _positive(self.rl.family_weights) else []
        )
        judged += ["evaluation.tasks names custom"] if EvaluationTask.CUSTOM in self.evaluation.tasks else []
        for claim in judged:
            self._require_custom_data(claim)
            if not self.rewards.custom_verifier:
                raise ValueError(
                    f"{claim} but rewards.custom_verifier is empty; name the Verifier that judges these "
                    "prompts, as package.module:NAME"
                )
        for name, stage in self.stages.items():
            if DataType.CUSTOM in _positive(stage.mixture):
                self._require_custom_data(f"stages.{name}.mixture.custom is positive")

    def _require_custom_data(self, claim: str) -> None:
        """Where curated datasets come as an input, nobody knows yet what they hold."""
        if self.data.synthesis is not None and self.data.custom is None:
            raise ValueError(
                f"{claim} but data.custom is null; publish a folder with `mimo data add` and set the "
                "data.custom.digest that it prints"
            )


def _positive(weights: Mapping[Weighted, float]) -> list[Weighted]:
    return [name for name, weight in weights.items() if weight > 0]


# Sections whose values can change the output of a stage. seed and profile-independent sections are always in.
_SECTIONS: Mapping[StageName, tuple[str, ...]] = {
    StageName.BASE: ("model", "processing", "data", "base"),
    StageName.CURATE: ("processing", "data"),
    StageName.CURATE_RL: ("processing", "curate_rl", "rewards"),
    StageName.MORL: ("processing", "rl", "rewards"),
    StageName.EVALUATE: ("processing", "evaluation", "rewards"),
    StageName.FINALIZE: ("evaluation",),
}


def stage_view(pipeline: PipelineConfig, stage: StageName) -> dict[str, Any]:
    """The configuration that enters the stage key: only what this stage reads, without unhashed fields."""
    if stage in PRETRAINING_STAGES:
        parts: dict[str, Any] = {"stage": pipeline.stages[stage], "model": pipeline.model, "data": pipeline.data}
        parts["processing"] = pipeline.processing
    elif stage in REWARD_MODEL_STAGES:
        parts = {"reward_model": pipeline.reward_models[stage], "processing": pipeline.processing}
    else:
        parts = {name: getattr(pipeline, name) for name in _SECTIONS[stage]}
    if stage == StageName.CURATE_RL:
        # Which prompts it rates, not how often each is drawn later.
        parts["families"] = pipeline.rl.families
    if stage == StageName.BASE:
        # It makes tokenizer and models from the profile's own data.
        parts["data"] = dataclasses.replace(pipeline.data, custom=None)
    return {"seed": pipeline.seed, **{name: _hashed_values(value) for name, value in parts.items()}}


def stage_config_digest(pipeline: PipelineConfig, stage: StageName) -> str:
    return "sha256:" + hashlib.sha256(canonical_json(stage_view(pipeline, stage))).hexdigest()


def _hashed_values(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            f.name: _hashed_values(getattr(value, f.name))
            for f in dataclasses.fields(value)
            if _affects_result(type(value), f.name)
        }
    if isinstance(value, Mapping):
        return {str(k): _hashed_values(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [_hashed_values(v) for v in value]
    return value


def _affects_result(cls: type, field_name: str) -> bool:
    extra = cls.__pydantic_fields__[field_name].json_schema_extra  # type: ignore[attr-defined]
    return not (isinstance(extra, dict) and extra.get("affects_result") is False)
