import subprocess
import sys

import pytest

from mimo_vl.config.compose import compose
from mimo_vl.config.training import Component
from mimo_vl.training.flops import count_flops, count_parameters
from mimo_vl.training.plan_estimate import MFU, PEAK_FLOPS, estimate
from mimo_vl.training.plan_morl import morl_plans
from mimo_vl.vocabulary import PRETRAINING_STAGES, REWARD_MODEL_STAGES


@pytest.fixture(scope="module")
def full():
    return compose("mimo_vl_7b")


def test_parameters_of_the_full_model_are_those_of_the_report(full) -> None:
    count = count_parameters(full.model)
    # 32 * 19,840,512 + 1,505,280; 1,280 + 26,219,520 + 20,975,616; 36 * 177,223,680 + 1,242,562,560 + 4,096.
    assert count.vision == 636_401_664
    assert count.projector == 47_196_416
    assert count.language == 7_622_619_136


def test_trained_parameters_per_stage(full) -> None:
    plans = {plan.stage: plan.trainable_millions for plan in estimate(full)}
    assert [round(plans[name], 1) for name in PRETRAINING_STAGES] == [47.2, 683.6, 8306.2, 8306.2]


def test_one_plan_per_stage_in_order(full) -> None:
    assert [plan.stage for plan in estimate(full)] == [*PRETRAINING_STAGES, *REWARD_MODEL_STAGES]


def test_memory_of_full_training_is_zero_3_arithmetic(full) -> None:
    plan = estimate(full)[2]
    # 16 bytes per parameter (2 weights, 2 gradients, 12 AdamW) shared by 128 GPUs.
    state = plan.weights_gib + plan.gradients_gib + plan.optimizer_gib
    assert state == pytest.approx(8_306_217_216 * 16 / 128 / 2**30)
    assert plan.memory_gib == pytest.approx(state + plan.activations_gib)


def test_tokens_steps_and_hours_agree(full) -> None:
    plan = estimate(full)[2]
    assert plan.tokens_per_step == 2560 * 8192
    assert plan.steps == 66_757  # 1.4e12 / 20,971,520
    flops = count_flops(full.model, trainable=tuple(Component))
    tokens_only_hours = plan.steps * plan.tokens_per_step * flops.per_token / (MFU * PEAK_FLOPS) / 3600
    assert tokens_only_hours < plan.gpu_hours < 1.5 * tokens_only_hours


def test_zero_1_shards_the_optimizer_alone() -> None:
    config = compose("mimo_vl_7b", ["stages.multimodal-pretraining.parallelism.zero_stage=1"])
    one, three = estimate(config)[2], estimate(compose("mimo_vl_7b"))[2]
    assert one.weights_gib == pytest.approx(128 * three.weights_gib)
    assert one.gradients_gib == pytest.approx(128 * three.gradients_gib)
    assert one.optimizer_gib == three.optimizer_gib


def test_a_reward_model_packs_all_answers_of_a_rank_in_one_row_and_trains_its_whole_trunk(full) -> None:
    text, multimodal = estimate(full)[4:6]
    # 32 pairs on 8 ranks: 8 answers of 8,192 tokens each.
    assert text.tokens_per_step == 8 * 65_536
    # Recomputed: 2 bytes per layer and 34 of one layer, per token and width.
    assert text.activations_gib == pytest.approx(65_536 * 4096 * (2 * 36 + 34) / 2**30)
    assert multimodal.activations_gib > text.activations_gib
    # All but the output embedding, 151,680 rows of 4,096.
    assert text.trainable_millions == multimodal.trainable_millions == pytest.approx(8306.217216 - 621.28128)
    assert "1,000 steps" in text.assumes


def test_the_rl_stage_is_planned_for_trainer_and_rollout(full) -> None:
    trainer, rollout = morl_plans(full)
    assert [(p.stage, p.role, p.gpus) for p in (trainer, rollout)] == [("morl", "trainer", 32), ("morl", "rollout", 16)]
    # 512 prompts, 16 answers each, 8,192 tokens on average after prompts of 1,024.
    assert trainer.tokens_per_step == 8192 * (1024 + 8192)
    assert rollout.tokens_per_step == 8192 * 8192
    assert trainer.steps == rollout.steps == 1000
    # 16 bytes per parameter over 32 ranks, and one row with the longest answer: 8,192 answers in 32 x 256 rows.
    state = trainer.weights_gib + trainer.gradients_gib + trainer.optimizer_gib
    assert state == pytest.approx(8_306_217_216 * 16 / 32 / 2**30)
    row = (1024 + 32_768) * 4096 * (2 * 36 + 34) + 4096 * 1280 * (2 * 32 + 34)
    assert trainer.activations_gib == pytest.approx(row / 2**30)
    # Weights in bf16; keys and values of 16 answers: 2 x 36 layers x 8 heads x 128 x 2 bytes per token.
    assert rollout.weights_gib == pytest.approx(8_306_217_216 * 2 / 2**30)
    assert rollout.cache_gib == pytest.approx(16 * 33_792 * 2 * 36 * 8 * 128 * 2 / 2**30)
    # Both groups are held while either works.
    assert trainer.gpu_hours == pytest.approx(2 * rollout.gpu_hours)


def test_answers_at_once_are_whole_groups_and_no_more_than_a_worker_gets(full) -> None:
    def cache_gib(answers_at_once: int) -> float:
        return morl_plans(compose("mimo_vl_7b", [f"rl.answers_at_once={answers_at_once}"]))[1].cache_gib

    one_group = morl_plans(full)[1].cache_gib
    assert cache_gib(1) == cache_gib(31) == one_group
    assert cache_gib(32) == 2 * one_group
    # 512 prompts of 16 answers on 16 workers.
    assert cache_gib(10_000) == 32 * one_group


def test_fewer_rows_of_the_policy_need_more_memory(full) -> None:
    fewer = morl_plans(compose("mimo_vl_7b", ["rl.num_micro_batches=64"]))[0]
    # Four answers per row instead of one.
    assert fewer.activations_gib > morl_plans(full)[0].activations_gib
    assert fewer.gpu_hours == morl_plans(full)[0].gpu_hours


def test_planning_does_not_load_torch() -> None:
    code = (
        "import sys; from mimo_vl.config.compose import compose; from mimo_vl.training.plan_morl import morl_plans;"
        "morl_plans(compose('mimo_vl_7b')); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
