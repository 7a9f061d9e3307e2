"""The closed lists of names that every part shares: stages, data types, reward tasks, RL families, languages."""

from __future__ import annotations

from enum import StrEnum


class StageName(StrEnum):
    """Stages of the default pipeline, in order (design of the pipeline graph: docs/architecture.md)."""

    BASE = "base"
    CURATE = "curate"
    PROJECTOR_WARMUP = "projector-warmup"
    VISION_LANGUAGE_ALIGNMENT = "vision-language-alignment"
    MULTIMODAL_PRETRAINING = "multimodal-pretraining"
    LONG_CONTEXT_SFT = "long-context-sft"
    CURATE_RL = "curate-rl"
    REWARD_MODEL_TEXT = "reward-model-text"
    REWARD_MODEL_MULTIMODAL = "reward-model-multimodal"
    MORL = "morl"
    EVALUATE = "evaluate"
    FINALIZE = "finalize"


PRETRAINING_STAGES = (
    StageName.PROJECTOR_WARMUP,
    StageName.VISION_LANGUAGE_ALIGNMENT,
    StageName.MULTIMODAL_PRETRAINING,
    StageName.LONG_CONTEXT_SFT,
)
REWARD_MODEL_STAGES = (StageName.REWARD_MODEL_TEXT, StageName.REWARD_MODEL_MULTIMODAL)


class DataType(StrEnum):
    """Pre-training data types of the report (section 2.2), one curation pipeline each, and own data."""

    CAPTION = "caption"
    INTERLEAVED = "interleaved"
    TEXT = "text"
    OCR = "ocr"
    GROUNDING = "grounding"
    COUNTING = "counting"
    QA = "qa"
    VIDEO = "video"
    GUI = "gui"
    INSTRUCTION = "instruction"
    REASONING = "reasoning"
    CUSTOM = "custom"


class RewardTask(StrEnum):
    """Value of `task` in a score request: decides which rule or reward model judges it (report 3.3)."""

    VISUAL_REASONING = "visual_reasoning"
    TEXT_REASONING = "text_reasoning"
    COUNTING = "counting"
    GROUNDING_BOX = "grounding_box"
    GROUNDING_POINT = "grounding_point"
    TEMPORAL_GROUNDING = "temporal_grounding"
    PREFERENCE_TEXT = "preference_text"
    PREFERENCE_MULTIMODAL = "preference_multimodal"
    # Judged by the user's verifier (rewards.custom_verifier).
    CUSTOM = "custom"


class RlFamily(StrEnum):
    """Prompt families of MORL: five verifiable ones (report 3.1), two of human preference (3.2), and own prompts."""

    VISUAL_REASONING = "visual_reasoning"
    TEXT_REASONING = "text_reasoning"
    GROUNDING = "grounding"
    COUNTING = "counting"
    TEMPORAL_GROUNDING = "temporal_grounding"
    PREFERENCE_TEXT = "preference_text"
    PREFERENCE_MULTIMODAL = "preference_multimodal"
    CUSTOM = "custom"


# Of the report; prompts of `custom` are verifiable as well, where a run has them.
VERIFIABLE_FAMILIES = (
    RlFamily.VISUAL_REASONING,
    RlFamily.TEXT_REASONING,
    RlFamily.GROUNDING,
    RlFamily.COUNTING,
    RlFamily.TEMPORAL_GROUNDING,
)


class EvaluationTask(StrEnum):
    """Tasks of the suite (mimo_vl/evaluation/tasks.py), and own items where a run has a verifier for them."""

    VISUAL_REASONING = "tiny/visual_reasoning"
    TEXT_REASONING = "tiny/text_reasoning"
    GROUNDING = "tiny/grounding"
    COUNTING = "tiny/counting"
    TEMPORAL_GROUNDING = "tiny/temporal_grounding"
    CAPTION = "tiny/caption"
    INTERLEAVED = "tiny/interleaved"
    OCR = "tiny/ocr"
    QA = "tiny/qa"
    VIDEO = "tiny/video"
    GUI = "tiny/gui"
    INSTRUCTION = "tiny/instruction"
    TEXT = "tiny/text"
    CUSTOM = "custom"


class Language(StrEnum):
    EN = "en"
    ZH = "zh"


class Split(StrEnum):
    TRAIN = "train"
    HELDOUT = "heldout"
