"""Own prompts and items take part only where there are some and a verifier can judge them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mimo_vl.config.evaluation import EvaluationConfig
from mimo_vl.config.rewards import RewardsConfig
from mimo_vl.errors import ConfigError
from mimo_vl.evaluation.evaluate import chosen_suite
from mimo_vl.evaluation.tasks import CUSTOM_TASK, TINY_SUITE, own_tasks
from mimo_vl.vocabulary import EvaluationTask
from tests.fakes.own_verifiers import rewards_with
from tests.unit.data.builders import record, write_dataset

_VERIFIER = rewards_with("SHARE", "3")


def _datasets(folder: Path, num_items: int) -> Path:
    for name in ("eval-custom", "rl-custom"):
        (folder / name).mkdir()
        write_dataset(folder / name, [record(f"s{i}") for i in range(num_items)])
    return folder


def test_items_and_a_verifier_are_a_task_beside_the_suite(tmp_path: Path) -> None:
    own = own_tasks(_VERIFIER, _datasets(tmp_path, 2))
    assert own == (CUSTOM_TASK,)
    assert chosen_suite(EvaluationConfig(), own) == (*TINY_SUITE, CUSTOM_TASK)
    assert chosen_suite(EvaluationConfig(tasks=("custom",)), own) == [CUSTOM_TASK]


@pytest.mark.parametrize(("rewards", "num_items"), [(RewardsConfig(), 2), (_VERIFIER, 0)])
def test_without_a_verifier_or_items_there_is_no_task(tmp_path: Path, rewards: RewardsConfig, num_items: int) -> None:
    assert own_tasks(rewards, _datasets(tmp_path, num_items)) == ()
    with pytest.raises(ConfigError, match="evaluation task 'custom' is unknown"):
        chosen_suite(EvaluationConfig(tasks=("custom",)))


def test_a_run_without_own_data_has_no_task(tmp_path: Path) -> None:
    assert own_tasks(_VERIFIER, tmp_path) == ()


def test_the_tasks_that_the_configuration_may_name_are_those_that_exist() -> None:
    assert [task.id for task in (*TINY_SUITE, CUSTOM_TASK)] == list(EvaluationTask)
