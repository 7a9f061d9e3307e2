"""What the trainer workers ask Ray Train for, and what a process does that was promised a GPU."""

from __future__ import annotations

import pytest

from mimo_vl.errors import ConfigError
from mimo_vl.model.device import require_device
from mimo_vl.rl.actors.trainer import trainer_scaling

pytestmark = pytest.mark.timeout(120)


def test_workers_of_a_group_with_gpus_ask_for_one_each() -> None:
    scaling = trainer_scaling(32, 1.0)
    assert (scaling.num_workers, scaling.use_gpu) == (32, True)
    assert scaling.resources_per_worker == {"CPU": 0.1, "GPU": 1.0, "trainer": 0.001}


def test_workers_of_a_group_without_gpus_ask_for_none() -> None:
    scaling = trainer_scaling(2, 0.0)
    assert (scaling.num_workers, scaling.use_gpu) == (2, False)
    assert scaling.resources_per_worker == {"CPU": 0.1, "trainer": 0.001}


def test_a_process_with_a_gpu_that_torch_does_not_see_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    require_device(has_gpu=False)
    with pytest.raises(ConfigError, match="torch sees none"):
        require_device(has_gpu=True)
