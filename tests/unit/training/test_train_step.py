import math
import re

import pytest

from mimo_vl.errors import NonFiniteLossError
from mimo_vl.training.train_step import StepResult, train_step
from mimo_vl.training.world import World
from tests.fakes.training_engine import FakeEngine, micro_batch

pytestmark = pytest.mark.timeout(120)


def _step(engine: FakeEngine, batches: list, *, should_stop: bool = False) -> StepResult:
    return train_step(engine, batches, step=7, groups=("a", "b"), world=World(), should_stop=should_stop)  # type: ignore[arg-type]


def test_loss_is_the_mean_over_all_targets_not_over_micro_batches() -> None:
    engine = FakeEngine(2)
    # Sums 6 over 1 target and 2 over 3 targets: mean 8 / 4 = 2; the mean of micro-batch means would be 3.33.
    result = _step(engine, [micro_batch([6.0], [1], groups=["a"]), micro_batch([2.0], [3], groups=["b"])])
    assert result.loss == 2.0
    assert result.loss_by_group == {"a": 6.0, "b": 2.0 / 3}
    assert result.num_targets == 4


def test_gradient_is_that_of_the_mean_whatever_the_micro_batches() -> None:
    one, two = FakeEngine(1), FakeEngine(2)
    _step(one, [micro_batch([6.0, 2.0], [1, 3], groups=["a", "b"])])
    _step(two, [micro_batch([6.0], [1], groups=["a"]), micro_batch([2.0], [3], groups=["b"])])
    # d(mean)/dw = 8 / 4.
    assert one.grad_norm() == two.grad_norm() == 2.0
    assert one.module.weight.item() == two.module.weight.item() == -1.0


def test_a_micro_batch_without_targets_changes_nothing() -> None:
    engine = FakeEngine(2)
    result = _step(engine, [micro_batch([6.0], [3], groups=["a"]), micro_batch([0.0], [0], groups=["b"])])
    assert result.loss == 2.0
    assert result.loss_by_group == {"a": 2.0}


def test_tokens_and_patches_are_summed() -> None:
    batches = [micro_batch([1.0, 1.0], [1, 1], groups=["a", "a"]), micro_batch([1.0], [1], groups=["b"])]
    result = _step(FakeEngine(2), batches)
    assert (result.num_tokens, result.num_patches) == (30, 6)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_non_finite_loss_names_step_and_sample_and_leaves_the_weights(bad: float) -> None:
    engine = FakeEngine(2)
    batches = [
        micro_batch([1.0], [1], groups=["a"], prefix="fine-"),
        micro_batch([1.0, bad], [1, 1], groups=["a", "b"], prefix="bad-"),
    ]
    with pytest.raises(NonFiniteLossError, match=re.escape("step 7: the loss is not finite for samples bad-1;")):
        _step(engine, batches)
    assert engine.updates == 0
    assert engine.module.weight.item() == 1.0


def test_a_non_finite_gradient_names_all_samples_of_the_step() -> None:
    engine = FakeEngine(1)
    engine.grad_norm = lambda: math.inf  # type: ignore[method-assign]
    with pytest.raises(NonFiniteLossError, match="the gradient norm is not finite for samples s0, s1;"):
        _step(engine, [micro_batch([1.0, 2.0], [1, 1], groups=["a", "b"])])


def test_the_error_is_permanent() -> None:
    assert NonFiniteLossError.exit_code == 2


def test_a_step_without_targets_is_an_error() -> None:
    with pytest.raises(ValueError, match="step 7 has no supervised token on any rank"):
        _step(FakeEngine(1), [micro_batch([0.0], [0], groups=["a"])])


def test_the_wish_to_stop_is_reported() -> None:
    batches = [micro_batch([1.0], [1], groups=["a"])]
    assert _step(FakeEngine(1), batches, should_stop=True).is_stop_requested
    assert not _step(FakeEngine(1), batches).is_stop_requested
