"""The report's table, stage configurations of the full-scale profile and the two readings of stage 2's rate."""

import pytest

from mimo_vl.config.compose import compose
from mimo_vl.config.training import Component
from mimo_vl.training.schedule import lr_factor
from mimo_vl.training.stages import REPORTED_STAGES, TOKENS_PER_STEP, read_as_decay, read_per_component
from mimo_vl.vocabulary import PRETRAINING_STAGES, StageName


@pytest.fixture(scope="module")
def stages():
    return compose("mimo_vl_7b").stages


def test_the_table_has_the_four_stages_in_order() -> None:
    assert tuple(stage.name for stage in REPORTED_STAGES) == PRETRAINING_STAGES


def test_the_table_adds_up_to_2_4_trillion_tokens() -> None:
    assert sum(stage.num_tokens for stage in REPORTED_STAGES) == 2_417 * 10**9


def test_full_scale_configuration_holds_the_values_of_the_table(stages) -> None:
    seen = set()
    for reported in REPORTED_STAGES:
        config = stages[reported.name]
        seen |= reported.new_data
        assert config.trainable == reported.trainable
        assert config.lr == reported.lr
        assert config.lr * lr_factor(config.num_steps - 1, config.num_steps, config.schedule) == pytest.approx(
            reported.final_lr
        )
        assert config.sequence_length == reported.sequence_length
        assert config.tokens_total == reported.num_tokens
        assert {name for name, weight in config.mixture.items() if weight > 0} == seen
        assert sum(config.mixture.values()) == pytest.approx(1.0)


def test_full_scale_steps_and_batch_agree_with_the_tokens(stages) -> None:
    for reported in REPORTED_STAGES:
        config = stages[reported.name]
        parallelism = config.parallelism
        rows = parallelism.num_ranks * parallelism.accumulation_steps * parallelism.rows_per_micro_batch
        assert rows * config.sequence_length == TOKENS_PER_STEP
        # The reference rounds to hundreds: 14,300 / 8,000 / 66,800 / 26,200.
        assert config.num_steps == pytest.approx(reported.num_steps, rel=0.005)


def test_tiny_trains_the_same_parts_in_the_same_order(stages) -> None:
    tiny = compose("tiny").stages
    for name in PRETRAINING_STAGES:
        assert tiny[name].trainable == stages[name].trainable
        assert {t for t, w in tiny[name].mixture.items() if w} == {t for t, w in stages[name].mixture.items() if w}


def test_first_reading_is_one_rate_that_falls(stages) -> None:
    config = read_as_decay(stages[StageName.VISION_LANGUAGE_ALIGNMENT], first=1e-4, last=1e-5)
    last = config.num_steps - 1
    assert config.component_lr == {}
    assert config.lr * lr_factor(last, config.num_steps, config.schedule) == pytest.approx(1e-5)
    assert config == stages[StageName.VISION_LANGUAGE_ALIGNMENT]


def test_second_reading_is_one_constant_rate_per_component(stages) -> None:
    config = read_per_component(stages[StageName.VISION_LANGUAGE_ALIGNMENT], vision=1e-4, projector=1e-5)
    assert config.component_lr == {Component.VISION: 1e-4, Component.PROJECTOR: 1e-5}
    assert lr_factor(config.num_steps - 1, config.num_steps, config.schedule) == 1.0


def test_a_rate_for_a_part_that_does_not_train_is_refused(stages) -> None:
    with pytest.raises(ValueError, match="component_lr names"):
        read_per_component(stages[StageName.PROJECTOR_WARMUP], vision=1e-4, projector=1e-5)
