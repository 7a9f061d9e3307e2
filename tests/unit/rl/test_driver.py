"""The loop: versions, checkpoints, going on after a crash, stopping on request."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from mimo_vl.config.rl import RlConfig
from mimo_vl.config.training import CheckpointConfig
from mimo_vl.errors import InterruptedAfterSaveError, WeightVersionError
from mimo_vl.rl.checkpoint import DriverState, RunLog, read_state
from mimo_vl.rl.driver import MorlDriver
from mimo_vl.rl.rollout import RolloutCollector
from mimo_vl.rl.update_metrics import UpdateMetrics
from mimo_vl.schema.manifest import FileEntry
from mimo_vl.schema.rollout import ScoredGroup

from .builders import FakeBook, FakeEngines, FakeScorer, config


class FakeTrainer:
    """Its 'weights' are the list of all prompts trained so far."""

    def __init__(self, engines: FakeEngines, folder: Path, trained: list[list[int]] | None = None) -> None:
        self.engines = engines
        self.folder = folder
        self.trained = trained or []
        self.mismatch = 0.0
        self.skips_a_version = False

    def update(self, step: int, groups: tuple[ScoredGroup, ...]) -> UpdateMetrics:
        assert step == len(self.trained)
        self.trained.append([g.prompt_index for g in groups])
        return UpdateMetrics(mismatch_mean=self.mismatch, num_answer_tokens=10)

    def push_weights(self) -> int:
        self.engines.version = len(self.trained) + self.skips_a_version
        return self.engines.version

    def save(self, step: int) -> tuple[FileEntry, ...]:
        directory = self.folder / f"step-{step}" / "policy"
        directory.mkdir(parents=True)
        (directory / "weights.json").write_text(json.dumps(self.trained))
        return (FileEntry(path="policy/weights.json", size_bytes=1, sha256="w"),)


class FakeStage:
    def __init__(self, folder: Path, stop_after: int = -1) -> None:
        self.folder = folder
        self.stop_after = stop_after
        self.sealed: list[int] = []
        self.reports: list[tuple[int, Mapping[str, float]]] = []

    def checkpoint_folder(self, step: int) -> Path:
        path = self.folder / f"step-{step}"
        path.mkdir(parents=True)
        return path

    def seal_checkpoint(self, step: int, files: tuple[FileEntry, ...]) -> None:
        assert [entry.path for entry in files] == ["policy/weights.json"]
        self.sealed.append(step)

    def report(self, step: int, metrics: Mapping[str, float]) -> None:
        self.reports.append((step, metrics))

    def should_stop(self) -> bool:
        return len(self.reports) == self.stop_after


def _verdict(index: int) -> tuple[float, float]:
    """Two of three prompts teach something; some are always solved."""
    return ((0.0, 1.0), (0.25, 0.5), (1.0, 1.0))[index % 3]


class Run:
    """Everything of one attempt."""

    def __init__(self, folder: Path, rl: RlConfig, *, stop_after: int = -1, checkpoint: Path | None = None) -> None:
        self.out = folder / "out"
        self.log = RunLog(self.out)
        self.log.restore(checkpoint)
        trained = json.loads((checkpoint / "policy" / "weights.json").read_text()) if checkpoint else []
        self.engines = FakeEngines(version=len(trained))
        self.trainer = FakeTrainer(self.engines, folder / "checkpoints", trained)
        self.stage = FakeStage(folder / "checkpoints", stop_after)
        self.state = read_state(checkpoint) if checkpoint else DriverState()
        collector = RolloutCollector(
            rl, engines=self.engines, scorer=FakeScorer(_verdict), prompts=FakeBook(40), seed=5
        )
        self.driver = MorlDriver(
            rl, collector=collector, trainer=self.trainer, stage=self.stage, log=self.log, clock=lambda: 0.0
        )

    def artifacts(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(self.out.iterdir())}


@pytest.fixture
def rl() -> RlConfig:
    checkpoint = CheckpointConfig(every_steps=2)
    return config(num_steps=7, prompts_per_step=3, easy_pool_probability=0.3, checkpoint=checkpoint)


def test_every_step_trains_one_batch_and_writes_one_line_of_metrics(tmp_path: Path, rl: RlConfig) -> None:
    run = Run(tmp_path, rl)
    run.driver.run(run.state)
    assert len(run.trainer.trained) == 7
    lines = [json.loads(line) for line in run.artifacts()["metrics.jsonl"].splitlines()]
    assert [line["step"] for line in lines] == list(range(7))
    assert [line["rl/weight_version"] for line in lines] == list(range(7))
    assert all(line["rl/batch_groups"] == 3 for line in lines)
    assert not any("time" in name for name in lines[0])
    assert run.stage.sealed == [2, 4, 6]


def test_a_run_killed_anywhere_continues_to_the_same_bytes(tmp_path: Path, rl: RlConfig) -> None:
    whole = Run(tmp_path / "whole", rl)
    whole.driver.run(whole.state)
    # The state of a run killed in step 5: its newest complete checkpoint is that of step 4.
    resumed = Run(tmp_path / "resumed", rl, checkpoint=tmp_path / "whole" / "checkpoints" / "step-4")
    assert resumed.state.step == 4
    resumed.driver.run(resumed.state)
    assert resumed.trainer.trained == whole.trainer.trained
    assert resumed.artifacts() == whole.artifacts()
    assert len(resumed.artifacts()["rollouts.jsonl"]) > 100


def test_tokens_are_counted_over_all_steps_those_before_a_resume_included(tmp_path: Path, rl: RlConfig) -> None:
    whole = Run(tmp_path / "whole", rl)
    whole.driver.run(whole.state)
    assert [values["train/tokens"] for _, values in whole.stage.reports] == [10.0 * k for k in range(1, 8)]
    resumed = Run(tmp_path / "resumed", rl, checkpoint=tmp_path / "whole" / "checkpoints" / "step-4")
    resumed.driver.run(resumed.state)
    assert [values["train/tokens"] for _, values in resumed.stage.reports] == [50.0, 60.0, 70.0]
    # What the manifest, and with it the table of stages, says.
    assert [run.log.summary()["tokens"] for run in (whole, resumed)] == [70.0, 70.0]


def test_a_request_to_stop_saves_the_last_complete_step_and_says_so(tmp_path: Path, rl: RlConfig) -> None:
    run = Run(tmp_path, rl, stop_after=3)
    with pytest.raises(InterruptedAfterSaveError, match="after step 3 of 7"):
        run.driver.run(run.state)
    assert run.stage.sealed == [2, 3]
    assert read_state(tmp_path / "checkpoints" / "step-3").step == 3


def test_a_request_to_stop_after_the_last_step_lets_the_stage_finish(tmp_path: Path, rl: RlConfig) -> None:
    run = Run(tmp_path, rl, stop_after=7)
    run.driver.run(run.state)
    assert len(run.trainer.trained) == 7


def test_a_skipped_weight_version_is_an_error(tmp_path: Path, rl: RlConfig) -> None:
    run = Run(tmp_path, rl)
    run.trainer.skips_a_version = True
    with pytest.raises(WeightVersionError, match="wanted 1"):
        run.driver.run(run.state)


def test_a_log_prob_mismatch_raises_an_alarm(tmp_path: Path, rl: RlConfig, caplog: pytest.LogCaptureFixture) -> None:
    run = Run(tmp_path, rl)
    run.trainer.mismatch = 0.2
    run.driver.run(run.state)
    assert sum("log-prob mismatch" in record.message for record in caplog.records) == 7


def test_reward_metrics_are_per_family_and_over_all_groups(tmp_path: Path, rl: RlConfig) -> None:
    run = Run(tmp_path, rl)
    run.driver.run(run.state)
    first = run.stage.reports[0][1]
    waves = run.engines.waves[: int(first["rl/waves"])]
    rewards = [r for wave in waves for index in wave for r in _verdict(index)]
    assert first["rl/reward_by_family/counting"] == pytest.approx(sum(rewards) / len(rewards))
    assert first["rl/reward"] == first["rl/reward_by_family/counting"]
    # -mean log p of the fake's (-0.5, -0.1)
    assert first["rl/entropy"] == pytest.approx(0.3)
