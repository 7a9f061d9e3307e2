"""Composition: shipped profiles are valid, and a wrong value is one clear error that names the field."""

from __future__ import annotations

from pathlib import Path

import pytest

from mimo_vl.config.compose import compose, compose_values, dump_config, list_profiles, load_config, parse
from mimo_vl.config.pipeline import stage_config_digest, stage_view
from mimo_vl.errors import ConfigError
from mimo_vl.vocabulary import PRETRAINING_STAGES, REWARD_MODEL_STAGES, StageName


@pytest.mark.parametrize("profile", list_profiles())
def test_every_shipped_profile_composes(profile: str) -> None:
    config = compose(profile)
    assert config.profile == profile
    assert set(config.stages) == set(PRETRAINING_STAGES)
    assert set(config.reward_models) == set(REWARD_MODEL_STAGES)


@pytest.mark.parametrize("profile", list_profiles())
def test_a_composed_config_survives_its_yaml_file(profile: str, tmp_path: Path) -> None:
    config = compose(profile)
    path = tmp_path / "config.yaml"
    path.write_text(dump_config(config), encoding="utf-8")
    assert load_config(path) == config


def test_the_report_table_is_in_the_7b_profile() -> None:
    stages = compose("mimo_vl_7b").stages
    # Report, table of section 2.3: learning rate, sequence length, tokens (billions).
    table = {name: (s.lr, s.sequence_length, s.tokens_total // 10**9) for name, s in stages.items()}
    assert table == {
        StageName.PROJECTOR_WARMUP: (1e-3, 8192, 300),
        StageName.VISION_LANGUAGE_ALIGNMENT: (1e-4, 8192, 167),
        StageName.MULTIMODAL_PRETRAINING: (1e-5, 8192, 1400),
        StageName.LONG_CONTEXT_SFT: (2.5e-5, 32768, 550),
    }


def test_an_unknown_key_is_named() -> None:
    with pytest.raises(ConfigError, match=r"rl\.prompts_per_stp: unknown key \(value 3\)"):
        compose("tiny", ["rl.prompts_per_stp=3"])


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("rl.prompts_per_stp", "prompts_per_step"),
        ("stages.long-context-sft.num_stpes", "num_steps"),
        ("data.synthesis.heldout_fractoin", "heldout_fraction"),
        ("observabilty", "observability"),
    ],
)
def test_a_misspelt_key_suggests_the_nearest(key: str, near: str) -> None:
    with pytest.raises(ConfigError, match=rf"{key}: unknown key \(value 3\); did you mean {near}\?"):
        compose("tiny", [f"{key}=3"])


def test_a_misspelt_key_comes_before_what_it_left_out() -> None:
    values = compose_values("tiny")
    section = values["stages"]["long-context-sft"]
    section["mixtrue"] = section.pop("mixture")
    with pytest.raises(ConfigError) as error:
        parse(values)
    first, second = str(error.value).splitlines()
    assert first.startswith("stages.long-context-sft.mixtrue: unknown key")
    assert first.endswith("did you mean mixture?")
    assert second == "stages.long-context-sft.mixture: missing; give it a value"


@pytest.mark.parametrize("name", ["base", "projector-warmupp"])
def test_an_entry_that_no_stage_has_is_one_error(name: str) -> None:
    with pytest.raises(ConfigError) as error:
        compose("tiny", [f"stages.{name}.num_stpes=3"])
    names = "projector-warmup, vision-language-alignment, multimodal-pretraining, long-context-sft"
    assert str(error.value) == f"stages.{name}: got {name!r}; wanted one of {names}"


def test_all_errors_are_reported_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        compose("tiny", ["seed=abc", "rl.group_size=1", "nonsense=1"])
    text = str(error.value)
    assert "seed: got 'abc'" in text
    assert "group_size is 1, wanted at least 2" in text
    assert "nonsense: unknown key" in text


def test_an_unknown_profile_suggests_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'tiny'"):
        compose("tinny")


def test_an_impossible_combination_names_both_fields() -> None:
    with pytest.raises(ConfigError, match="updates_per_rollout is 4, but on_policy_grpo makes exactly 1"):
        compose("tiny", ["rl.updates_per_rollout=4"])


def test_a_missing_section_is_an_error() -> None:
    with pytest.raises(ConfigError, match="model: missing"):
        parse({"profile": "tiny", "seed": 0})


def test_a_broken_override_is_an_error_that_shows_it() -> None:
    with pytest.raises(ConfigError, match=r"rl\.lr"):
        compose("tiny", ["rl.lr=[1"])


def test_an_unknown_override_set_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"known: .*@demo-ci"):
        compose("tiny", ["@demo"])


def test_a_group_can_be_chosen_and_a_value_set_in_one_call() -> None:
    config = compose("tiny", ["storage=s3", "storage.endpoint=127.0.0.1:9000"])
    assert (config.storage.kind, config.storage.endpoint) == ("s3", "127.0.0.1:9000")


def test_fields_that_do_not_affect_results_leave_the_digest_alone() -> None:
    plain = compose("tiny")
    stage = StageName.PROJECTOR_WARMUP
    quiet = compose("tiny", [f"stages.{stage}.log_every_steps=50", "storage=s3", "tracking.uri=http://127.0.0.1:1"])
    assert stage_config_digest(plain, stage) == stage_config_digest(quiet, stage)


@pytest.mark.parametrize("stage", list(StageName))
def test_a_stage_depends_only_on_its_own_sections(stage: StageName) -> None:
    plain, other = compose("tiny"), compose("tiny", ["stages.long-context-sft.lr=0.123"])
    is_equal = stage_config_digest(plain, stage) == stage_config_digest(other, stage)
    assert is_equal == (stage != StageName.LONG_CONTEXT_SFT)


def test_the_seed_enters_every_stage() -> None:
    assert all(stage_view(compose("tiny", ["seed=7"]), stage)["seed"] == 7 for stage in StageName)
