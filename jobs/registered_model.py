"""Which stages' models are registered, under which alias, and with what card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from mimo_vl.config.pipeline import PipelineConfig
from mimo_vl.schema.manifest import InputRef
from mimo_vl.tracking import ModelVersion, write_mlmodel
from mimo_vl.tracking.mlmodel import ModelFacts
from mimo_vl.vocabulary import StageName

MODEL_ALIASES: Mapping[StageName, str] = {
    StageName.LONG_CONTEXT_SFT: "sft",
    StageName.MORL: "rl",
    StageName.REWARD_MODEL_TEXT: "reward-text",
    StageName.REWARD_MODEL_MULTIMODAL: "reward-multimodal",
}
# Rates and times differ from run to run, and would make another digest.
_CARD_METRICS = frozenset(
    {"loss_first", "loss_last", "tokens", "steps", "pairwise_accuracy", "ci_low", "ci_high"}
    | {"reward_first", "reward_last"}
)


def model_name(config: PipelineConfig) -> str:
    """Of all models of a profile: the registry keeps their versions, runs and aliases apart."""
    return f"mimo-vl-{config.profile}"


def describe_model(
    folder: Path,
    *,
    stage: StageName,
    config: PipelineConfig,
    inputs: Mapping[str, InputRef],
    metrics: Mapping[str, float],
) -> str:
    """Write MLmodel and README.md beside the weights; returns the card."""
    facts = ModelFacts(
        name=model_name(config),
        stage=stage,
        profile=config.profile,
        inputs={name: ref.digest for name, ref in inputs.items()},
        metrics={name: value for name, value in metrics.items() if name in _CARD_METRICS},
        processing=asdict(config.processing),
    )
    return write_mlmodel(folder, facts)


def model_version(
    config: PipelineConfig, *, stage: StageName, run_id: str, uri: str, digest: str, card: str
) -> ModelVersion:
    tags = {"mimo.run_id": run_id, "mimo.stage": str(stage), "mimo.uri": uri}
    return ModelVersion(
        name=model_name(config), uri=uri, digest=digest, alias=MODEL_ALIASES[stage], card=card, tags=tags
    )
