"""The loop with a fake engine: order of hooks, checkpoints when due, stop after saving, resume continues the steps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mimo_vl.config.training import CheckpointConfig, ScheduleConfig
from mimo_vl.errors import InterruptedAfterSaveError
from mimo_vl.training.callbacks.callback import Callback, StepReport
from mimo_vl.training.callbacks.history import History
from mimo_vl.training.callbacks.reporting import Reporting
from mimo_vl.training.callbacks.throughput import Throughput
from mimo_vl.training.flops import FlopCount
from mimo_vl.training.micro_batch import MicroBatch
from mimo_vl.training.trainer import LoopConfig, Trainer
from mimo_vl.training.world import World
from tests.fakes.training_engine import FakeEngine, micro_batch

pytestmark = pytest.mark.timeout(120)


class _Source:
    """Step k has the one sample `k`, with loss k + 1."""

    groups = ("a",)

    def __init__(self) -> None:
        self.asked: list[int] = []

    def micro_batches(self, step: int) -> list[MicroBatch]:
        self.asked.append(step)
        return [micro_batch([float(step + 1)], [1], groups=["a"], prefix=f"step-{step}-")]


class _Recorder(Callback):
    def __init__(self) -> None:
        self.events: list[tuple[str, int]] = []

    def on_step_end(self, report: StepReport) -> None:
        self.events.append(("step", report.step))

    def on_checkpoint(self, step: int) -> None:
        self.events.append(("checkpoint", step))


class _SavingEngine(FakeEngine):
    def save(self, directory: Path) -> None:
        directory.mkdir(parents=True)
        (directory / "weights").write_text(str(self.module.weight.item()))


def _trainer(folder: Path, *, num_steps: int = 5, every: int = 2, stop_at: int | None = None) -> tuple[Any, Any]:
    engine, recorder, source = _SavingEngine(1), _Recorder(), _Source()
    trainer = Trainer(
        engine,  # type: ignore[arg-type]
        source,
        LoopConfig(
            num_steps=num_steps,
            schedule=ScheduleConfig(warmup_fraction=0.0),
            checkpoint=CheckpointConfig(every_steps=every, keep_last=1),
            checkpoint_folder=folder,
        ),
        world=World(),
        callbacks=[recorder],
        state=lambda step: {"step": step, "updates": engine.updates},
        seal=lambda step, keep: recorder.events.append(("sealed", step)) if keep == 1 else None,
        should_stop=lambda: stop_at is not None and engine.updates + 1 >= stop_at,
    )
    return trainer, recorder


def test_checkpoints_come_when_due_and_not_after_the_last_step(tmp_path: Path) -> None:
    trainer, recorder = _trainer(tmp_path, num_steps=4)
    trainer.run()
    assert recorder.events == [("step", 1), ("step", 2), ("sealed", 2), ("checkpoint", 2), ("step", 3), ("step", 4)]


def test_stop_saves_after_the_step_and_raises_resume_me(tmp_path: Path) -> None:
    trainer, recorder = _trainer(tmp_path, every=100, stop_at=3)
    with pytest.raises(InterruptedAfterSaveError, match="stopped on request after step 3"):
        trainer.run()
    assert recorder.events[-2:] == [("sealed", 3), ("checkpoint", 3)]
    assert (tmp_path / "step-3" / "trainer.json").read_text() == '{"step": 3, "updates": 3}'
    assert InterruptedAfterSaveError.exit_code == 75


def test_stop_in_the_last_step_finishes_the_stage(tmp_path: Path) -> None:
    trainer, recorder = _trainer(tmp_path, num_steps=3, every=100, stop_at=3)
    trainer.run()
    assert recorder.events[-1] == ("step", 3)


def test_a_half_written_checkpoint_of_a_dead_attempt_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "step-2").mkdir()
    (tmp_path / "step-2" / "torn").write_text("x")
    trainer, _ = _trainer(tmp_path, num_steps=3)
    trainer.run()
    names = sorted(path.name for path in (tmp_path / "step-2").iterdir())
    assert names == ["random-rank-0.json", "trainer.json", "weights"]


def test_resume_asks_for_the_remaining_steps_alone(tmp_path: Path) -> None:
    trainer, recorder = _trainer(tmp_path, every=100)
    trainer.run(first_step=3)
    assert recorder.events == [("step", 4), ("step", 5)]
    assert trainer._source.asked == [3, 4]


def test_history_survives_a_round_trip_through_its_state(tmp_path: Path) -> None:
    trainer, _ = _trainer(tmp_path, num_steps=2, every=100)
    history = History()
    trainer._callbacks = [history]
    trainer.run()
    copy = History()
    copy.restore(history.state())
    assert copy.state() == history.state()
    # Weight 1, then 1 - 1 = 0: losses 1 * 1 and 0 * 2.
    assert [entry["loss"] for entry in copy.steps] == [1.0, 0.0]
    assert copy.num_tokens == 20


def test_reported_tokens_go_on_where_the_history_stands(tmp_path: Path) -> None:
    class Sink:
        def __init__(self) -> None:
            self.tokens: list[float] = []

        def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
            self.tokens.append(metrics["train/tokens"])

    trainer, _ = _trainer(tmp_path, num_steps=2, every=100)
    history, throughput, sink = (
        History(),
        Throughput(FlopCount(per_token=1.0, per_pair=1.0, per_patch=1.0), peak_flops=None),
        Sink(),
    )
    # As after a resume: 100 tokens in the steps before.
    history.num_tokens = 100
    reporting = Reporting(
        lambda *_, **__: None, sink, throughput, history, every_steps=1, row_tokens_per_step=0, world=World()
    )
    trainer._callbacks = [history, throughput, reporting]
    trainer.run()
    assert sink.tokens == [110.0, 120.0]
