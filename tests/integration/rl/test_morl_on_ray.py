"""MORL with all its processes: killed in the middle and started again, it equals a plain run in one process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from mimo_vl.config.rewards import RewardsConfig
from mimo_vl.rewards.math_pool import MathPool
from mimo_vl.rewards.reward_model import build_scorer
from mimo_vl.rewards.router import Router
from mimo_vl.rl.checkpoint import DriverState, RunLog
from mimo_vl.rl.driver import MorlDriver
from mimo_vl.rl.rollout import RolloutCollector
from mimo_vl.rl.rollout_worker import RolloutWorker, build_rollout_worker
from mimo_vl.rl.trainer_worker import TrainerWorker, build_trainer_worker
from mimo_vl.rl.update_metrics import UpdateMetrics
from mimo_vl.rl.worker_settings import WorkerSettings
from mimo_vl.schema.manifest import FileEntry
from mimo_vl.schema.rollout import Completion, PromptRef, SamplingParams, ScoredGroup
from mimo_vl.storage.checkpoints import newest_complete
from mimo_vl.training.world import World
from mimo_vl.vocabulary import RewardTask
from tests.fakes.rl_world import RlWorld, build_rl_world
from tests.integration.rl.morl_process import FolderStage

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(1200)]

NUM_STEPS = 4


class LocalEngines:
    """Two engines in this process, prompts mapped by index as on Ray."""

    def __init__(self, settings: WorkerSettings) -> None:
        self.workers: list[RolloutWorker] = [build_rollout_worker(settings) for _ in range(2)]

    def generate(self, prompts: Sequence[PromptRef], params: SamplingParams) -> list[list[Completion]]:
        groups: list[list[Completion]] = [[]] * len(prompts)
        for i, worker in enumerate(self.workers):
            groups[i::2] = worker.generate(prompts[i::2], params)
        return groups


class LocalTrainer:
    def __init__(self, worker: TrainerWorker, engines: LocalEngines) -> None:
        self.worker = worker
        self.engines = engines

    def update(self, step: int, groups: tuple[ScoredGroup, ...]) -> UpdateMetrics:
        return self.worker.update(groups, step)

    def push_weights(self) -> int:
        update = self.worker.weights()
        return {worker.load_weights(update) for worker in self.engines.workers}.pop()

    def save(self, step: int) -> tuple[FileEntry, ...]:
        return self.worker.save(step)


def _run_plainly(world: RlWorld, out: Path, scratch: Path) -> None:
    settings = world.settings(out, scratch, NUM_STEPS)
    engines = LocalEngines(settings)
    worker = build_trainer_worker(settings, None, World())
    scorer = build_scorer(
        world.reward_model_dir, settings.processing, media=None, token_budget=RewardsConfig().token_budget
    )
    with MathPool() as math:
        router = Router(RewardsConfig(), math, {RewardTask.PREFERENCE_TEXT: scorer})
        prompts = settings.build_prompts(settings.build_encoder())
        collector = RolloutCollector(settings.rl, engines=engines, scorer=router, prompts=prompts, seed=0)
        log = RunLog(out / "output")
        log.restore(None)
        stage = FolderStage(out)
        trainer = LocalTrainer(worker, engines)
        MorlDriver(settings.rl, collector=collector, trainer=trainer, stage=stage, log=log).run(DriverState())
    exported = {entry.path for entry in worker.export()}
    assert {"model/config.json", "model/tokenizer.json"} < exported


def _files(out: Path) -> dict[str, bytes]:
    artifact = out / "output"
    return {str(p.relative_to(artifact)): p.read_bytes() for p in sorted(artifact.rglob("*")) if p.is_file()}


def _start(root: Path, out: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.integration.rl.morl_process", str(root), str(out), str(NUM_STEPS)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, start_new_session=True)


@pytest.fixture
def one_process_group(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0", "RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}
    for name, value in values.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("one_process_group")
def test_killed_and_continued_on_ray_equals_an_uninterrupted_run_in_one_process(tmp_path: Path) -> None:
    world = build_rl_world(tmp_path / "world")
    plain, ray_out = tmp_path / "plain", tmp_path / "ray"
    _run_plainly(world, plain, tmp_path)

    first = _start(tmp_path / "world", ray_out)
    deadline = time.monotonic() + 480
    while newest_complete(ray_out / "checkpoints") is None:
        assert first.poll() is None, "MORL ended before its first checkpoint"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    killed_at = newest_complete(ray_out / "checkpoints")
    assert killed_at is not None
    assert killed_at.name != f"step-{NUM_STEPS}"

    second = _start(tmp_path / "world", ray_out)
    assert second.wait(timeout=480) == 0
    assert _files(ray_out).keys() == {*_files(plain)}
    assert _files(ray_out) == _files(plain)
    assert b'"rl/weight_version":3.0' in _files(ray_out)["metrics.jsonl"].splitlines()[3]
