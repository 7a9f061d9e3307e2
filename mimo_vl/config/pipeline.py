"""The whole configuration of a pipeline, and the part of it that one stage's result depends on."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

from pydantic import Field

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
from mimo_vl.vocabulary import PRETRAINING_STAGES, REWARD_MODEL_STAGES, DataType, RlFamily, StageName


@config
class PipelineConfig:
    profile: str
    """Name of the profile that these values came from."""
    seed: int
    """Everything random is drawn from it."""
    model: ModelConfig
    processing: ProcessingConfig
    data: DataConfig
    base: BaseStageConfig | None
    """None where tokenizer, ViT and language model come as spec.inputs."""
    stages: dict[StageName, StageConfig]
    reward_models: dict[StageName, RewardModelConfig]
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
        needs_base = self.model.language_source == "base-stage" or self.model.vision_source == "base-stage"
        if needs_base and self.base is None:
            raise ValueError("model.language_source or vision_source is base-stage but section `base` is null")
        if self.rl.family_weights.get(RlFamily.CUSTOM, 0.0) > 0:
            self._require_custom_data("rl.family_weights.custom")
            if not self.rewards.custom_verifier:
                raise ValueError(
                    "rl.family_weights.custom is positive but rewards.custom_verifier is empty; name the Verifier that "
                    "judges these prompts, as package.module:NAME"
                )
        for name, stage in self.stages.items():
            if stage.mixture.get(DataType.CUSTOM, 0.0) > 0:
                self._require_custom_data(f"stages.{name}.mixture.custom")

    def _require_custom_data(self, field: str) -> None:
        """Where curated datasets come as an input, nobody knows yet what they hold."""
        if self.data.synthesis is not None and self.data.custom is None:
            raise ValueError(
                f"{field} is positive but data.custom is null; publish a folder with `mimo data add` and set the "
                "data.custom.digest that it prints"
            )


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
