import subprocess
import sys

import pytest

from mimo_vl.config.compose import compose
from mimo_vl.config.training import Component
from mimo_vl.training.flops import count_flops, count_parameters
from mimo_vl.training.plan_estimate import MFU, PEAK_FLOPS, estimate
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


def test_planning_does_not_load_torch() -> None:
    code = (
        "import sys; from mimo_vl.config.compose import compose; from mimo_vl.training.plan_estimate import estimate;"
        "estimate(compose('mimo_vl_7b')); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
