"""A value or combination that no stage could run with is one error that names it, before anything starts."""

from __future__ import annotations

import pytest

from mimo_vl.config.compose import compose
from mimo_vl.errors import ConfigError

_SFT, _RM = "stages.long-context-sft", "reward_models.reward-model-text"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (f"{_SFT}.parallelism.num_ranks=0", r"parallelism\.num_ranks: got 0; .*greater than 0"),
        (f"{_SFT}.parallelism.ranks_per_node=0", r"parallelism\.ranks_per_node: got 0; .*greater than 0"),
        (f"{_SFT}.checkpoint.every_steps=0", r"checkpoint\.every_steps: got 0; .*greater than 0"),
        ("rl.checkpoint.every_steps=0", r"rl\.checkpoint\.every_steps: got 0; .*greater than 0"),
        (f"{_SFT}.optimizer.beta2=1", r"optimizer\.beta2: got 1; .*less than 1"),
        ("seed=-1", r"seed: got -1; .*greater than or equal to 0"),
        ("data.synthesis.heldout_fraction=1.0", r"data\.synthesis\.heldout_fraction: got 1\.0; .*less than 1"),
        ("data.synthesis.heldout_fraction=0", r"data\.synthesis\.heldout_fraction: got 0; .*greater than 0"),
        ("data.synthesis.preference_queries=0", r"preference_queries: got 0; .*greater than 0"),
        ("evaluation.tasks=[tiny/countng]", r"evaluation\.tasks\.0: got 'tiny/countng'; .*'tiny/counting'"),
        ("evaluation.tasks=[custom]", r"evaluation\.tasks names custom but data\.custom is null"),
        ("model.language.num_kv_heads=0", r"model\.language\.num_kv_heads: got 0; .*greater than 0"),
        ("model.language.num_kv_heads=3", r"num_heads 4 is not a multiple of num_kv_heads 3"),
        ("model.language.hidden_size=255", r"head_dim: got 64 for hidden_size 255 and 4 heads, wanted"),
        ("model.vision.num_heads=64", r"hidden_size / num_heads is 2, wanted a multiple of 4"),
        ("model.vision.window_size=100", r"window_size 100 is not a multiple of a token's side of 28 pixels"),
        ("model.vision.patch_size=16", r"model\.vision\.patch_size: got 16; Input should be 14"),
        ("model.vision.temporal_patch_size=1", r"model\.vision\.temporal_patch_size: got 1; Input should be 2"),
        ("model.vision.spatial_merge_size=4", r"model\.vision\.spatial_merge_size: got 4; Input should be 2"),
        ("model.vision.tokens_per_second=2", r"model\.vision\.tokens_per_second: got 2; Input should be 4"),
        ("model.language_source=qwen2", r"language_source is qwen2 .*`base` stage cannot make.*set base=null"),
        ("model.vision_source=random", r"vision_source random, which the `base` stage cannot make"),
        ("data.synthesis=null", r"data\.synthesis is null, so it has nothing to train on"),
        ("processing.min_pixels=60000", r"min_pixels is 60000, more than max_pixels = 50176"),
        (
            "data.synthesis.samples_per_type.ocr=0",
            r"stages\.multimodal-pretraining\.mixture\.ocr is positive but data\.synthesis\.samples_per_type\.ocr is 0",
        ),
        (
            "data.synthesis.heldout_per_type.caption=0",
            r"mixture\.caption is positive but data\.synthesis\.heldout_per_type\.caption is 0",
        ),
        (
            "data.synthesis.rl_prompts_per_family.counting=0",
            r"rl\.family_weights\.counting is positive but .*rl_prompts_per_family\.counting is 0",
        ),
        (f"{_RM}.batch_pairs=33", r"batch_pairs 33 is not a multiple of .*num_ranks \* accumulation_steps = 2"),
    ],
)
def test_a_value_that_no_stage_could_use_is_refused(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        compose("tiny", [override])


def test_a_type_without_samples_may_have_no_weight() -> None:
    config = compose("tiny", ["data.synthesis.samples_per_type.gui=0", *_without("gui")])
    assert config.stages["long-context-sft"].mixture["gui"] == 0.0  # type: ignore[index]


def _without(data_type: str) -> list[str]:
    return [f"stages.{stage}.mixture.{data_type}=0" for stage in ("multimodal-pretraining", "long-context-sft")]
